/* SPDX-License-Identifier: BSD-2-Clause */
#include <Python.h>

#define LOCK_NAME "PyMutex"
#define LOCK_ID lock_pymutex
typedef PyMutex lock_t;
typedef char lock_local;
#define lock_init(l) ((void)(l))
#define lock_fini(l) ((void)(l))
#define lock_take(l, c) ((void)(c), PyMutex_Lock(l))
#define lock_drop(l, c) ((void)(c), PyMutex_Unlock(l))
#define LOCK_BLOCKS

#include "../lock_rows.h"
