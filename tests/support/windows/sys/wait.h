/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LW_TESTS_WINDOWS_WAIT_H
#define LW_TESTS_WINDOWS_WAIT_H

#include "../skip.h"

#include <sys/types.h>

#define WIFEXITED(status) ((status) == 0)
#define WEXITSTATUS(status) (status)
#define WIFSIGNALED(status) ((status) != 0)
#define WTERMSIG(status) (status)

static inline pid_t waitpid(pid_t child, int *status, int options)
{
    (void)child;
    (void)status;
    (void)options;
    support_skip(SUPPORT_NO_FORK);
}

#endif
