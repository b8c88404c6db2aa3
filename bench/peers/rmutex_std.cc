/* SPDX-License-Identifier: BSD-2-Clause */
#include <mutex>
#include <new>

#define RMUTEX_NAME "std::recursive_mutex"
#define RMUTEX_ID rmutex_std
using rmutex_t = std::recursive_mutex;
#define rmutex_init(m) ((void)new (m) std::recursive_mutex)
#define rmutex_fini(m) (m)->~recursive_mutex()
#define rmutex_take(m) (m)->lock()
#define rmutex_drop(m) (m)->unlock()

#include "../rmutex_rows.h"
