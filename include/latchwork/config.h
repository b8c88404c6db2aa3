/* SPDX-License-Identifier: BSD-2-Clause */
/* Versions, linkage and compiler differences. Every other header includes this one. */
#ifndef LATCHWORK_CONFIG_H
#define LATCHWORK_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LW_VERSION_MAJOR 0
#define LW_VERSION_MINOR 1
#define LW_VERSION_PATCH 0
#define LW_VERSION_STRING "0.1.0"

/* Changes with any release that changes a layout or a meaning which two vendored copies in one
 * process would share (lw_domain, lw_thread, lw_smr_node, lw_map, a lock's word). Copies with equal
 * numbers share; so two copies from between releases have to be of one commit. */
#ifndef LW_ABI_VERSION
#define LW_ABI_VERSION 5
#endif

#ifdef __cplusplus
#define LW_EXTERN_C_BEGIN extern "C" {
#define LW_EXTERN_C_END }
#else
#define LW_EXTERN_C_BEGIN
#define LW_EXTERN_C_END
#endif

/* A vendored or static copy keeps its symbols to itself, so that two extensions in one process do
 * not bind to each other's code by accident; they meet in one lw_domain instead (domain.h).
 * LATCHWORK_SHARED is defined for the shared library and, through its CMake target, its users. */
#if defined(_WIN32)
#if defined(LATCHWORK_SHARED)
#error "There is no latchwork.dll: a thread-local variable cannot be imported from one"
#endif
#define LW_API
#elif defined(LATCHWORK_SHARED)
#define LW_API __attribute__((visibility("default")))
#else
#define LW_API __attribute__((visibility("hidden")))
#endif

#if defined(__GNUC__)
#define LW_LIKELY(x) __builtin_expect(!!(x), 1)
#define LW_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LW_INLINE_ static inline __attribute__((always_inline)) /* whatever its size */
#define LW_NOINLINE __attribute__((noinline))
#define LW_COLD __attribute__((noinline, cold))
#define LW_NORETURN __attribute__((noreturn))
#define LW_NODISCARD __attribute__((warn_unused_result))
#else
#define LW_LIKELY(x) (x)
#define LW_UNLIKELY(x) (x)
#define LW_INLINE_ static __forceinline
#define LW_NOINLINE __declspec(noinline)
#define LW_COLD __declspec(noinline)
#define LW_NORETURN __declspec(noreturn)
#define LW_NODISCARD
#endif

/* Calls fn(&variable) when the variable's block is left, in whatever way. */
#if defined(__GNUC__)
#define LW_CLEANUP_(fn) __attribute__((cleanup(fn)))
#endif

/* Two of these lie between fields that different threads write. */
#if defined(__aarch64__) && defined(__APPLE__)
#define LW_CACHE_LINE 128
#else
#define LW_CACHE_LINE 64
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define LW_ALIGNED(n) __declspec(align(n))
#else
#define LW_ALIGNED(n) __attribute__((aligned(n)))
#endif

/* The thread-local slot is read on fast paths. Under the default model of a shared object each
 * read is a call (2.2 to 3.0 ns); with initial-exec it is one load. glibc keeps static TLS room for
 * objects that are loaded late; other C libraries do not, and there the default model stays.
 * -DLW_TLS_DEFAULT_MODEL, or the CMake option LATCHWORK_TLS=default, asks for the default. */
#if defined(_MSC_VER) && !defined(__clang__)
#define LW_TLS __declspec(thread)
#elif defined(__MINGW32__) && !defined(__clang__)
/* This compiler's __thread frees the variables before the end of the thread is told (windows.c). So
 * the variable lies in the loader's own section, between `.tls` and `.tls$ZZZ`, where what each
 * thread gets a copy of begins and ends; thread.h finds the copy. */
#define LW_TLS_SECTION_
#define LW_TLS __attribute__((section(".tls$LW")))
#elif defined(__GLIBC__) && !defined(LW_TLS_DEFAULT_MODEL)
#define LW_TLS __thread __attribute__((tls_model("initial-exec")))
#else
#define LW_TLS __thread
#endif

#endif /* LATCHWORK_CONFIG_H */
