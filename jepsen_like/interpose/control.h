/* What the parts of the library share. The page of the control file is an array of 64-bit words,
 * whose numbers are in words.h, made from control.py when the library is compiled; behind them
 * follow the patterns of the trigger and of what fails. */
#ifndef JEPSEN_LIKE_CONTROL_H
#define JEPSEN_LIKE_CONTROL_H

#include <stdint.h>

#include "words.h"

extern volatile int64_t *word;

int64_t real_ns(int clock);

#define PATTERN ((const char *)(word + WORDS))
#define FAILING (PATTERN + PATTERN_BYTES)
#define COUNT(name) __atomic_add_fetch(&word[name], 1, __ATOMIC_RELAXED)

#endif
