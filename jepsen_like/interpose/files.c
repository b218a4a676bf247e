/* The files of a process: what it does to one directory tree is recorded, fails or is slow.
 *
 * Below the root every write and every fsync is counted; the control page says what an fsync
 * takes longer, and which of them fail. All other files are left alone.
 *
 * With a journal, every change of a file or a name below the root, and every fsync, becomes a
 * record of it, in the order in which it happened. The journal lies outside the tree and is
 * written with one write() a record: SIGKILL does not lose it. Which of the writes a power cut
 * would have kept is decided later, by disk.py, which replays it.
 *
 * A change is recorded right after it happened, both under one lock. A sync is recorded twice,
 * before it begins and when it has returned: it promises what happened before it began, from
 * the moment it returned. The disk itself is then not asked, since the kernel outlives the
 * process.
 *
 * The control page arms a trigger: after a record of the given kind whose path matches the
 * pattern, and so many records more, the process kills itself. Armed as "found" it does so after
 * the next record of all, so that journal and tree agree.
 *
 * It may also make the disk fail: so many writes, or syncs, of files whose path matches another
 * pattern return an error and do nothing. A failed sync is recorded as 'E': Linux forgets then
 * what it could not write, and a later sync that succeeds promises nothing of it. Each other
 * descriptor that the file had then is told once as well, one that is opened later is not
 * (errseq_t in the kernel).
 *
 * sync_file_range is let through and promises nothing, as its manual page says. Calls that
 * change files in ways that are not modelled leave a record 'X', which the replay refuses.
 */
#define _GNU_SOURCE
#include "control.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 4096
#define REAL(result, name, ...)                                  \
    static result (*real_##name)(__VA_ARGS__);                   \
    if (real_##name == NULL)                                     \
        *(void **)&real_##name = dlsym(RTLD_NEXT, #name)

struct header {
    uint32_t size; /* of the payload */
    uint8_t kind;
    uint32_t handle; /* of an open file; 0 if the record names paths */
    uint64_t number; /* offset, length, flags or ticket */
} __attribute__((packed));

enum { CREATED = 1, TRUNCATED = 2 };

static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static int64_t journal_size;
static int64_t nothing[PAGE_BYTES / sizeof(int64_t)]; /* until there is a control page */
volatile int64_t *word = nothing;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t last_handle;
static uint64_t last_ticket;
static uint32_t handles[DESCRIPTORS]; /* by descriptor; 0: not below the root */
static char *names[DESCRIPTORS];      /* relative to the root */
static int owed[DESCRIPTORS];         /* error of a failed sync that was not told here yet */

static void record(uint8_t kind, uint32_t handle, uint64_t number, const char *name,
                   const void *payload, size_t size) {
    static const char full[] = "more than the journal may hold";
    if (journal < 0) return;
    int is_full = journal_size + (int64_t)(sizeof(struct header) + size) > JOURNAL_BYTES_MAX;
    if (is_full) {
        kind = 'X';
        handle = 0;
        payload = full;
        size = sizeof full - 1;
    }
    struct header header = {(uint32_t)size, kind, handle, number};
    struct iovec parts[2] = {{&header, sizeof header}, {(void *)payload, size}};
    ssize_t wanted = (ssize_t)(sizeof header + size);
    if (writev(journal, parts, 2) != wanted) {
        static const char why[] = "the journal of the power cut cannot be written\n";
        if (write(2, why, sizeof why - 1) < 0) _exit(70);
        _exit(70);
    }
    journal_size += wanted;
    if (is_full) journal = -1;
    if (word[ARMED] == 1 && word[KIND] == kind && name != NULL && fnmatch(PATTERN, name, 0) == 0)
        word[ARMED] = 2;
    if (word[ARMED] == 2 && word[COUNTDOWN]-- <= 0) {
        word[ARMED] = 0;
        kill(getpid(), SIGKILL);
    }
}

/* Whether a write or a sync of this file fails now, and with which error; under the lock. */
static int failure(uint8_t kind, const char *name) {
    if (word[FAILS_LEFT] <= 0 || word[FAILS_KIND] != kind) return 0;
    if (fnmatch(FAILING, name, 0) != 0) return 0;
    word[FAILS_LEFT]--;
    COUNT(FAILED);
    return (int)word[FAILS_ERRNO];
}

static void not_modelled(const char *call) {
    pthread_mutex_lock(&mutex);
    record('X', 0, 0, NULL, call, strlen(call));
    pthread_mutex_unlock(&mutex);
}

/* Whether the path is below the root; `name` becomes what follows it, empty for the root. */
static int below(int directory, const char *path, char *name) {
    char whole[2 * PATH_MAX];
    if (!root_length || path == NULL) return 0;
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char link[64], base[PATH_MAX];
        if (directory == AT_FDCWD) {
            if (getcwd(base, sizeof base) == NULL) return 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0) return 0;
            base[length] = 0;
        }
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    if (strncmp(whole, root, root_length) != 0) return 0;
    if (whole[root_length] != '/' && whole[root_length] != 0) return 0;
    snprintf(name, PATH_MAX, "%s", whole + root_length + (whole[root_length] == '/'));
    return 1;
}

static uint32_t handle_of(int fd) {
    return fd >= 0 && fd < DESCRIPTORS ? handles[fd] : 0;
}

/* Cut off what a process that was killed could not finish. */
static void mend_journal(void) {
    struct header header;
    struct stat status;
    int64_t at = 0;
    if (fstat(journal, &status)) _exit(70);
    while (pread64(journal, &header, sizeof header, at) == sizeof header) {
        int64_t end = at + (int64_t)sizeof header + header.size;
        if (end > status.st_size) break;
        at = end;
    }
    if (ftruncate64(journal, at)) _exit(70);
    journal_size = at;
}

__attribute__((constructor)) static void begin(void) {
    REAL(int, open, const char *, int, ...);
    const char *file = getenv("JEPSEN_LIKE_JOURNAL"), *directory = getenv("JEPSEN_LIKE_ROOT");
    const char *page = getenv("JEPSEN_LIKE_CONTROL");
    if (page == NULL) return;
    int fd = real_open(page, O_RDWR | O_CLOEXEC);
    void *mapped = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || mapped == MAP_FAILED) _exit(70);
    word = mapped;
    word[PID] = getpid();
    if (directory == NULL) return;
    if (file != NULL) {
        journal = real_open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (journal < 0) _exit(70);
        mend_journal();
    }
    snprintf(root, sizeof root, "%s", directory);
    root_length = strlen(root);
}

/* ------------------------------------------------------------------ descriptors */

static int open_below(int directory, const char *path, int flags, mode_t mode) {
    REAL(int, openat64, int, const char *, int, ...);
    char name[PATH_MAX];
    if (!below(directory, path, name)) return real_openat64(directory, path, flags, mode);
    if (flags & (O_SYNC | O_DSYNC) || (flags & O_TMPFILE) == O_TMPFILE) not_modelled("open");
    pthread_mutex_lock(&mutex);
    int existed = faccessat(directory, path, F_OK, 0) == 0;
    int error = existed || !(flags & O_CREAT) ? 0 : failure('W', name);
    if (error) {
        pthread_mutex_unlock(&mutex);
        errno = error;
        return -1;
    }
    int fd = real_openat64(directory, path, flags, mode);
    if (fd >= DESCRIPTORS) _exit(70);
    if (fd >= 0) {
        uint64_t what = existed ? (flags & O_TRUNC ? TRUNCATED : 0) : CREATED;
        free(names[fd]);
        names[fd] = strdup(name);
        handles[fd] = ++last_handle;
        owed[fd] = 0;
        record('O', handles[fd], what, name, name, strlen(name));
    }
    pthread_mutex_unlock(&mutex);
    return fd;
}

#define MODE_ARGUMENT(mode)                            \
    mode_t mode = 0;                                   \
    if (flags & (O_CREAT | O_TMPFILE)) {               \
        va_list rest;                                  \
        va_start(rest, flags);                         \
        mode = va_arg(rest, mode_t);                   \
        va_end(rest);                                  \
    }

int open(const char *path, int flags, ...) {
    MODE_ARGUMENT(mode)
    return open_below(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE_ARGUMENT(mode)
    return open_below(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
    MODE_ARGUMENT(mode)
    return open_below(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
    MODE_ARGUMENT(mode)
    return open_below(directory, path, flags, mode);
}

int close(int fd) {
    REAL(int, close, int);
    if (handle_of(fd)) {
        pthread_mutex_lock(&mutex);
        handles[fd] = 0;
        pthread_mutex_unlock(&mutex);
    }
    return real_close(fd);
}

/* ------------------------------------------------------------------ content */

static ssize_t write_at(int fd, const void *data, size_t size, off64_t offset) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    if (!handle_of(fd)) return real_pwrite64(fd, data, size, offset);
    pthread_mutex_lock(&mutex);
    int error = failure('W', names[fd]);
    ssize_t written = error ? -1 : real_pwrite64(fd, data, size, offset);
    if (written > 0) {
        COUNT(WRITES);
        record('W', handles[fd], (uint64_t)offset, names[fd], data, (size_t)written);
    }
    pthread_mutex_unlock(&mutex);
    if (error) errno = error;
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    return write_at(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    return write_at(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (!handle_of(fd)) return real_write(fd, data, size);
    pthread_mutex_lock(&mutex);
    int error = failure('W', names[fd]);
    ssize_t written = error ? -1 : real_write(fd, data, size);
    if (written > 0) {
        uint64_t end = (uint64_t)lseek64(fd, 0, SEEK_CUR); /* also right under O_APPEND */
        COUNT(WRITES);
        record('W', handles[fd], end - (uint64_t)written, names[fd], data, (size_t)written);
    }
    pthread_mutex_unlock(&mutex);
    if (error) errno = error;
    return written;
}

static int truncate_to(int fd, off64_t size) {
    REAL(int, ftruncate64, int, off64_t);
    if (!handle_of(fd)) return real_ftruncate64(fd, size);
    pthread_mutex_lock(&mutex);
    int failed = real_ftruncate64(fd, size);
    if (!failed) record('T', handles[fd], (uint64_t)size, names[fd], NULL, 0);
    pthread_mutex_unlock(&mutex);
    return failed;
}

int ftruncate(int fd, off_t size) { return truncate_to(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncate_to(fd, size); }

/* The sync of `fd` fails: so will the next one through each descriptor of the same file. */
static void sync_failed(int fd, int error) {
    for (int other = 0; other < DESCRIPTORS; other++)
        if (handles[other] && other != fd && strcmp(names[other], names[fd]) == 0)
            owed[other] = error;
    record('E', handles[fd], 0, names[fd], NULL, 0);
}

typedef int (*sync_function)(int);

static int sync_now(int fd, sync_function real) {
    int64_t delay_ns = word[SYNC_DELAY_NS], begun_ns = real_ns(CLOCK_MONOTONIC);
    pthread_mutex_lock(&mutex);
    uint32_t handle = handles[fd];
    int error = owed[fd];
    owed[fd] = 0;
    if (!error && (error = failure('S', names[fd]))) sync_failed(fd, error);
    if (error) {
        pthread_mutex_unlock(&mutex);
        errno = error;
        return -1;
    }
    COUNT(SYNCS_BEGUN);
    uint64_t ticket = ++last_ticket;
    record('S', handle, ticket, names[fd], NULL, 0);
    pthread_mutex_unlock(&mutex);
    if (journal < 0 && real(fd)) return -1;
    if (delay_ns) {
        struct timespec pause = {delay_ns / 1000000000, delay_ns % 1000000000};
        while (nanosleep(&pause, &pause) && errno == EINTR) continue;
    }
    /* By what is asked for now: one that was on its way when that began may have taken as long. */
    int64_t slow_ns = word[SYNC_DELAY_NS];
    COUNT(slow_ns && real_ns(CLOCK_MONOTONIC) - begun_ns >= slow_ns ? SYNCS_SLOW : SYNCS_QUICK);
    pthread_mutex_lock(&mutex);
    record('D', handle, ticket, names[fd], NULL, 0);
    pthread_mutex_unlock(&mutex);
    return 0;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return handle_of(fd) ? sync_now(fd, real_fsync) : real_fsync(fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return handle_of(fd) ? sync_now(fd, real_fdatasync) : real_fdatasync(fd);
}

/* The -shm of SQLite. What is stored through a mapping is seen by nobody; the replay takes any
 * mixture of its pages. */
static void *map(void *address, size_t size, int protection, int flags, int fd, off64_t offset) {
    if (handle_of(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
        pthread_mutex_lock(&mutex);
        record('P', handles[fd], 0, names[fd], NULL, 0);
        pthread_mutex_unlock(&mutex);
    }
    return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    return map(address, size, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset) {
    return map(address, size, protection, flags, fd, offset);
}

/* ------------------------------------------------------------------ names */

/* Do `call` and, if it succeeds, record it with the path that it changed. */
#define CHANGE_NAME(kind, directory, path, call)                                    \
    char name[PATH_MAX];                                                            \
    if (!below(directory, path, name)) return call;                                 \
    pthread_mutex_lock(&mutex);                                                     \
    int failed = call;                                                              \
    if (!failed) record(kind, 0, 0, name, name, strlen(name));                      \
    pthread_mutex_unlock(&mutex);                                                   \
    return failed

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    CHANGE_NAME('U', AT_FDCWD, path, real_unlink(path));
}

int unlinkat(int directory, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    CHANGE_NAME('U', directory, path, real_unlinkat(directory, path, flags));
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    CHANGE_NAME('U', AT_FDCWD, path, real_rmdir(path));
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    CHANGE_NAME('M', AT_FDCWD, path, real_mkdir(path, mode));
}

int mkdirat(int directory, const char *path, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    CHANGE_NAME('M', directory, path, real_mkdirat(directory, path, mode));
}

static int rename_below(int from_in, const char *from, int to_in, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    char both[2 * PATH_MAX], name[PATH_MAX];
    int old_is_below = below(from_in, from, both), new_is_below = below(to_in, to, name);
    if (!old_is_below && !new_is_below) return real_renameat(from_in, from, to_in, to);
    if (!old_is_below || !new_is_below) not_modelled("rename over the border of the tree");
    pthread_mutex_lock(&mutex);
    int failed = real_renameat(from_in, from, to_in, to);
    if (!failed) {
        size_t length = strlen(both);
        snprintf(both + length + 1, sizeof both - length - 1, "%s", name);
        record('R', 0, 0, name, both, length + 1 + strlen(name));
    }
    pthread_mutex_unlock(&mutex);
    return failed;
}

int rename(const char *from, const char *to) {
    return rename_below(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_in, const char *from, int to_in, const char *to) {
    return rename_below(from_in, from, to_in, to);
}

/* ------------------------------------------------------------------ what is not modelled */

#define REFUSE(result, name, fd, parameters, arguments, told)           \
    result name parameters {                                            \
        static result(*real) parameters;                                \
        if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, #name);    \
        if (handle_of(fd)) {                                            \
            not_modelled(#name);                                        \
            if ((errno = failure('W', names[fd]))) return told;         \
        }                                                               \
        return real arguments;                                          \
    }

REFUSE(ssize_t, writev, fd, (int fd, const struct iovec *parts, int count), (fd, parts, count), -1)
REFUSE(ssize_t, pwritev, fd, (int fd, const struct iovec *parts, int count, off_t offset),
       (fd, parts, count, offset), -1)
REFUSE(ssize_t, pwritev64, fd, (int fd, const struct iovec *parts, int count, off64_t offset),
       (fd, parts, count, offset), -1)
REFUSE(int, fallocate, fd, (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size), -1)
REFUSE(int, fallocate64, fd, (int fd, int mode, off64_t offset, off64_t size),
       (fd, mode, offset, size), -1)
REFUSE(int, posix_fallocate, fd, (int fd, off_t offset, off_t size), (fd, offset, size), errno)
REFUSE(int, posix_fallocate64, fd, (int fd, off64_t offset, off64_t size), (fd, offset, size), errno)
REFUSE(ssize_t, sendfile, to, (int to, int from, off_t *offset, size_t size),
       (to, from, offset, size), -1)
REFUSE(ssize_t, sendfile64, to, (int to, int from, off64_t *offset, size_t size),
       (to, from, offset, size), -1)
REFUSE(ssize_t, copy_file_range, to,
       (int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags),
       (from, at, to, there, size, flags), -1)
