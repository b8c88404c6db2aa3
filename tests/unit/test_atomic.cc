/* SPDX-License-Identifier: BSD-2-Clause */
#include "test_atomic.c"
