/* SPDX-License-Identifier: BSD-2-Clause */
/* The dear half of the asymmetric fence. Linux 4.14 has it as a system call, Windows as a function;
 * elsewhere there is none, and the cheap half becomes a real fence (lw_thread.smr_strong). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include <stdlib.h>

#if defined(__linux__) || defined(_WIN32)
static bool lw_membarrier_refused(void)
{
    const char *off = getenv("LW_NO_MEMBARRIER");
    return off != NULL && off[0] != '\0' && off[0] != '0';
}
#endif

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

bool lw_membarrier_init_(void)
{
    long commands;
    if (lw_membarrier_refused()) {
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

#elif defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

bool lw_membarrier_init_(void)
{
    /* Wine has had the function for years before it did anything. */
    return !lw_membarrier_refused() &&
           GetProcAddress(GetModuleHandleW(L"ntdll"), "wine_get_version") == NULL;
}

void lw_membarrier_(void)
{
    FlushProcessWriteBuffers();
}

#else

bool lw_membarrier_init_(void)
{
    return false;
}

void lw_membarrier_(void) {}

#endif
