/* SPDX-License-Identifier: BSD-2-Clause */
/* What the headers of this folder declare. */
#include "../support.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

/* FlsAlloc wants the system's calling convention, which on x86-64 is that of all functions. */
int support_key_create(unsigned long *key, void (*at_exit)(void *value))
{
    *key = FlsAlloc((PFLS_CALLBACK_FUNCTION)at_exit);
    return *key == FLS_OUT_OF_INDEXES ? EAGAIN : 0;
}

int support_key_delete(unsigned long key)
{
    return FlsFree(key) ? 0 : EINVAL;
}

int support_setspecific(unsigned long key, const void *value)
{
    return FlsSetValue(key, (void *)(uintptr_t)value) ? 0 : ENOMEM;
}

void *support_getspecific(unsigned long key)
{
    return FlsGetValue(key);
}

void support_exit_thread(void)
{
    ExitThread(0);
}
