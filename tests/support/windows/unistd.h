/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LW_TESTS_WINDOWS_UNISTD_H
#define LW_TESTS_WINDOWS_UNISTD_H

#include_next <unistd.h>

#include <stdlib.h>

#include "skip.h"

static inline int setenv(const char *name, const char *value, int overwrite)
{
    return overwrite || getenv(name) == NULL ? _putenv_s(name, value) : 0;
}

static inline int support_no_fork(void)
{
    support_skip(SUPPORT_NO_FORK);
}
#define fork() support_no_fork()

static inline int pipe(int *ends)
{
    ends[0] = ends[1] = -1;
    return 0;
}

static inline unsigned alarm(unsigned seconds)
{
    (void)seconds;
    support_skip(SUPPORT_NO_FORK);
}

#endif
