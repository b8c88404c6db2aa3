/* SPDX-License-Identifier: BSD-2-Clause */
/* The headers of this folder stand before mingw-w64's own on the include path of the tests. They
 * declare what the tests name and Windows has not: who calls it ends the case by support_skip, so
 * that the cases compile as they are, and each that cannot run says so. */
#ifndef LW_TESTS_WINDOWS_SKIP_H
#define LW_TESTS_WINDOWS_SKIP_H

#ifdef __cplusplus
extern "C" {
#endif
__attribute__((noreturn)) void support_skip(const char *reason);
#ifdef __cplusplus
}
#endif

#define SUPPORT_NO_FORK "Windows has no fork"
#define SUPPORT_NO_SIGNALS "Windows has no signals to a thread"
#define SUPPORT_NO_CANCELLATION "Windows has no cancellation of threads"
#define SUPPORT_NO_ROUNDS "Windows calls the destructors of a thread's values once"

#endif
