/* SPDX-License-Identifier: BSD-2-Clause */
/* The dear half of the asymmetric fence. Linux 4.14 has it as a system call; elsewhere there is
 * none, and the cheap half becomes a real fence (lw_thread.smr_strong). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include <stdlib.h>

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

bool lw_membarrier_init_(void)
{
    long commands;
    const char *off = getenv("LW_NO_MEMBARRIER");
    if (off != NULL && off[0] != '\0' && off[0] != '0') {
        return false;
    }
    commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    return commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
           (commands & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0 &&
           syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void lw_membarrier_(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
        /* It worked at registration: the process was since forbidden it (a seccomp filter). Going
         * on would free memory under readers. */
        lw_fatal_("lw_membarrier_", "sys_membarrier is refused after it was granted; "
                                    "set LW_NO_MEMBARRIER=1 in the environment");
    }
}

#else

bool lw_membarrier_init_(void)
{
    return false;
}

void lw_membarrier_(void) {}

#endif
