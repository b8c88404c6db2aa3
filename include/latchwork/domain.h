/* SPDX-License-Identifier: BSD-2-Clause */
/* The domain: all state of the library in one process hangs off one of these.
 *
 * Every vendored copy of the library that is loaded into a process, and has the same ABI number,
 * uses the same domain: thread records, wait queues and reclamation are shared, so that a lock or a
 * container may pass from one extension to another. Copies find each other through a symbol that
 * the ELF loader makes unique in the process (STB_GNU_UNIQUE), and, under Python, through a capsule
 * in the interpreter's dictionary (cpython.h). */
#ifndef LATCHWORK_DOMAIN_H
#define LATCHWORK_DOMAIN_H

#include <latchwork/atomic.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_domain lw_domain;

/* The first bytes of every domain of every version, so that a copy can tell whether it may share,
 * and else where to look on. This layout never changes. */
typedef struct lw_domain_header {
    uint64_t magic;     /* LW_DOMAIN_MAGIC */
    uint32_t abi;       /* there: LW_ABI_VERSION in the low 16 bits, the platform above */
    uint32_t size;      /* sizeof(struct lw_domain) there */
    char version[16];   /* LW_VERSION_STRING there, for messages */
    lw_atomic_ptr next; /* a domain of another version in this process; NULL: none */
} lw_domain_header;

#define LW_DOMAIN_MAGIC UINT64_C(0x6c61746368777264)

typedef struct lw_allocator {
    void *(*alloc)(void *ctx, size_t size); /* zeroed memory, as calloc; NULL: there is none */
    void (*release)(void *ctx, void *ptr);  /* never called with NULL */
    void *ctx;
} lw_allocator;

/* What a host (an interpreter) wants done around a wait. `before` runs on the thread that is about
 * to sleep, with none of the library's locks held; what it returns is handed to `after`, which runs
 * when the thread has left the wait queue; NULL says that there is nothing to undo: `after` is not
 * called. `after` may end the thread or never return. */
typedef struct lw_block_hooks {
    void *(*before)(void);
    void (*after)(void *token);
} lw_block_hooks;

/* The domain of this process, made on first use. Never NULL. Wait-free but for the first use; any
 * thread, any attach state. */
LW_API lw_domain *lw_domain_get(void);

/* Makes this copy use `other` (found by other means than the unique symbol, such as a capsule).
 *   LW_OK       it does, or did already
 *   LW_VERSION  `other` has another ABI version: nothing was changed
 *   LW_BUSY     this copy has used another domain already: nothing was changed
 * Call it before anything else of this copy. Any attach state. */
LW_API lw_status lw_domain_adopt(lw_domain *other);

/* The header of a domain, of whatever version. Wait-free. */
LW_API const lw_domain_header *lw_domain_describe(const lw_domain *domain);

/* Replaces the allocator of the domain (calloc and free at first).
 *   LW_OK    done
 *   LW_BUSY  memory was taken from the present one already: nothing was changed
 * Not to be called while other threads use the library. */
LW_API lw_status lw_domain_set_allocator(const lw_allocator *allocator);

/* Installs the hooks for waits, or takes them out (NULL). Not to be called while another thread
 * waits. */
LW_API void lw_domain_set_block_hooks(const lw_block_hooks *hooks);

/* Memory from the domain's allocator. lw_alloc returns zeroed memory or NULL; lw_free takes NULL.
 * Progress and attach state are those of the allocator (PyMem_RawCalloc under Python, which a
 * tracing tool may make wait for the GIL: so the library never allocates while it holds a lock that
 * a thread may be waiting for). */
LW_API void *lw_alloc(size_t size);
LW_API void lw_free(void *ptr);

/* Around something that blocks outside of the library: what a wait of the library does by itself.
 * lw_block_begin suspends the thread's critical sections (critical.h) and calls `before`;
 * lw_block_end, with what that returned, calls `after` and resumes the innermost section. No
 * section may begin between the two. */
LW_API void *lw_block_begin(void);
LW_API void lw_block_end(void *token);

LW_EXTERN_C_END

#endif /* LATCHWORK_DOMAIN_H */
