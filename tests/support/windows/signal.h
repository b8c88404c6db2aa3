/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LW_TESTS_WINDOWS_SIGNAL_H
#define LW_TESTS_WINDOWS_SIGNAL_H

#include_next <signal.h>

#include "skip.h"

#define SIGUSR1 10
#define SIGALRM 14
#define SA_RESTART 1

struct sigaction {
    void (*sa_handler)(int number);
    int sa_flags;
    int sa_mask;
};

static inline int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    (void)number;
    (void)action;
    (void)old;
    support_skip(SUPPORT_NO_SIGNALS);
}

static inline int sigemptyset(int *mask)
{
    *mask = 0;
    return 0;
}

#endif
