/* The clocks of a process, moved while it runs.
 *
 * What the C library tells of the time is changed by the setting of the control page: an offset,
 * a drift and a strobe, for the wall clock and for the monotonic clock each. There are two banks
 * of settings, and one word says which is valid, so a change is seen whole or not at all.
 *
 * A deadline that a program computes from such a clock is given to a kernel whose clock is the
 * real one, so absolute deadlines are moved back. Which clock a deadline is of is told by its
 * size: no machine has run since 2001.
 *
 * Whenever the program asks the time after the harness has asked what it is told, the clocks are
 * read once more through the very functions that the program calls, and reported.
 */
#define _GNU_SOURCE
#include "control.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

#define SECOND INT64_C(1000000000)
#define OLDEST_WALL_CLOCK_S INT64_C(1000000000)

enum { WALL, MONOTONIC, NEITHER };

typedef int (*clock_gettime_function)(clockid_t, struct timespec *);

static clock_gettime_function real_clock_gettime(void) {
    static clock_gettime_function found;
    if (found == NULL) *(void **)&found = dlsym(RTLD_NEXT, "clock_gettime");
    return found;
}

int64_t real_ns(int clock) {
    struct timespec now;
    real_clock_gettime()(clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static int kind_of(clockid_t clock) {
    switch (clock) {
        case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: case CLOCK_TAI: return WALL;
        case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_RAW: case CLOCK_MONOTONIC_COARSE:
        case CLOCK_BOOTTIME: return MONOTONIC;
        default: return NEITHER; /* the CPU time of a thread is no clock of a machine */
    }
}

/* What is added to a clock now. */
static int64_t shift_of(int kind) {
    if (kind == NEITHER) return 0;
    volatile int64_t *setting = word + SETTINGS + (word[BANK] * 2 + kind) * SETTING_WORDS;
    int64_t shift = setting[OFFSET_NS], drift = setting[DRIFT_PPB], period = setting[PERIOD_NS];
    if (drift || period) {
        int64_t elapsed = real_ns(CLOCK_MONOTONIC) - setting[SINCE_NS];
        shift += (int64_t)((__int128)elapsed * drift / SECOND);
        if (period && elapsed / period % 2 == 0) shift += setting[STROBE_NS];
    }
    return shift;
}

static void add(struct timespec *time, int64_t ns) {
    int64_t sum = time->tv_sec * SECOND + time->tv_nsec + ns;
    time->tv_sec = sum / SECOND;
    time->tv_nsec = sum % SECOND;
}

static void report(void);

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = real_clock_gettime()(clock, time);
    int kind = kind_of(clock);
    if (failed || kind == NEITHER) return failed;
    int64_t shift = shift_of(kind);
    if (shift) add(time, shift);
    COUNT(kind == WALL ? WALL_READS : MONOTONIC_READS);
    if (word[ASKED] != word[ANSWERED]) report();
    return 0;
}

int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result != NULL) *result = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
    if (base != TIME_UTC) return 0;
    clock_gettime(CLOCK_REALTIME, time);
    return base;
}

static void report(void) {
    static int is_reporting;
    if (__atomic_exchange_n(&is_reporting, 1, __ATOMIC_ACQUIRE)) return;
    int64_t asked = word[ASKED];
    struct timespec given;
    struct timeval of_day;
    word[ANSWERED] = asked; /* the reads below are none to report */
    word[WALL_BEFORE_NS] = real_ns(CLOCK_REALTIME);
    word[MONOTONIC_BEFORE_NS] = real_ns(CLOCK_MONOTONIC);
    clock_gettime(CLOCK_REALTIME, &given);
    word[WALL_GIVEN_NS] = given.tv_sec * SECOND + given.tv_nsec;
    gettimeofday(&of_day, NULL);
    word[OF_DAY_GIVEN_NS] = of_day.tv_sec * SECOND + of_day.tv_usec * 1000;
    word[TIME_GIVEN_S] = time(NULL);
    clock_gettime(CLOCK_MONOTONIC, &given);
    word[MONOTONIC_GIVEN_NS] = given.tv_sec * SECOND + given.tv_nsec;
    word[MONOTONIC_AFTER_NS] = real_ns(CLOCK_MONOTONIC);
    word[WALL_AFTER_NS] = real_ns(CLOCK_REALTIME);
    __atomic_store_n(&word[REPORTED], asked, __ATOMIC_RELEASE);
    __atomic_store_n(&is_reporting, 0, __ATOMIC_RELEASE);
}

/* ------------------------------------------------------------------ deadlines */

/* A deadline of the program, as the kernel has to be told it. */
static const struct timespec *moved(const struct timespec *deadline, struct timespec *changed) {
    if (deadline == NULL) return NULL;
    int64_t shift = shift_of(deadline->tv_sec > OLDEST_WALL_CLOCK_S ? WALL : MONOTONIC);
    if (!shift) return deadline;
    *changed = *deadline;
    add(changed, -shift);
    if (changed->tv_sec < 0 || changed->tv_nsec < 0) changed->tv_sec = changed->tv_nsec = 0;
    return changed;
}

/* Of the versions of a function the one that programs are linked with today: dlsym may find the
 * condition variables of before 2003. */
static void *newest(const char *name, const char *version) {
    void *found = dlvsym(RTLD_NEXT, name, version);
    return found != NULL ? found : dlsym(RTLD_NEXT, name);
}

#define WAIT(name, version, parameters, arguments)                        \
    int name parameters {                                                 \
        static int(*real) parameters;                                     \
        struct timespec changed;                                          \
        if (real == NULL) *(void **)&real = newest(#name, version);       \
        deadline = moved(deadline, &changed);                             \
        return real arguments;                                            \
    }

WAIT(sem_timedwait, "GLIBC_2.34", (sem_t * semaphore, const struct timespec *deadline),
     (semaphore, deadline))
WAIT(sem_clockwait, "GLIBC_2.34",
     (sem_t * semaphore, clockid_t clock, const struct timespec *deadline),
     (semaphore, clock, deadline))
WAIT(pthread_cond_timedwait, "GLIBC_2.3.2",
     (pthread_cond_t * condition, pthread_mutex_t *mutex, const struct timespec *deadline),
     (condition, mutex, deadline))
WAIT(pthread_cond_clockwait, "GLIBC_2.34",
     (pthread_cond_t * condition, pthread_mutex_t *mutex, clockid_t clock,
      const struct timespec *deadline),
     (condition, mutex, clock, deadline))
WAIT(pthread_mutex_timedlock, "GLIBC_2.34",
     (pthread_mutex_t * mutex, const struct timespec *deadline), (mutex, deadline))

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until,
                    struct timespec *left) {
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    struct timespec changed;
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "clock_nanosleep");
    return real(clock, flags, flags & TIMER_ABSTIME ? moved(until, &changed) : until, left);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *set, struct itimerspec *old) {
    static int (*real)(int, int, const struct itimerspec *, struct itimerspec *);
    struct itimerspec changed;
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "timerfd_settime");
    if (flags & TFD_TIMER_ABSTIME && set != NULL && (set->it_value.tv_sec || set->it_value.tv_nsec)) {
        struct timespec deadline;
        changed = *set;
        changed.it_value = *moved(&set->it_value, &deadline);
        set = &changed;
    }
    return real(fd, flags, set, old);
}
