/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame of a unit test program. A case is written
 *
 *   TEST(name) { ... }
 *
 * and nothing else: CMake finds it by that line and makes it a CTest test, which runs `program
 * name` in a process of its own. `program` alone runs each case in a process of its own; `program
 * --list` names them. */
#ifndef LW_TESTS_UNIT_H
#define LW_TESTS_UNIT_H

#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#include <cmocka.h>

void unit_add(const char *name, CMUnitTestFunction fn);

#ifdef __cplusplus
}
#endif

#define TEST(name)                                                                                 \
    static void test_##name(void **state);                                                         \
    __attribute__((constructor)) static void add_##name(void)                                      \
    {                                                                                              \
        unit_add(#name, test_##name);                                                              \
    }                                                                                              \
    static void test_##name(void **state __attribute__((unused)))

#endif
