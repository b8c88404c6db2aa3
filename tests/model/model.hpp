/* SPDX-License-Identifier: BSD-2-Clause */
/* The world that the shipped sources run in under Relacy: threads, memory, blocking, and the
 * command line of a harness. A harness defines its configuration, includes this, then includes the
 * sources under test, then defines suites. docs/models.md has the rest. */
#ifndef LATCHWORK_MODEL_HPP
#define LATCHWORK_MODEL_HPP

#define LW_ATOMIC_RELACY
#if !defined(LW_MODEL_REAL_PLATFORM)
#define LW_PLATFORM_MODEL
#endif
#define LW_NO_UNIQUE_SYMBOL

/* Small, so that executions are short and queues are shared. */
#ifndef LW_PARK_QUEUES
#define LW_PARK_QUEUES 1
#endif
#ifndef LW_BIASED_SLOTS
#define LW_BIASED_SLOTS 1
#endif
#define LW_SPIN_LOOKS 0
#define LW_THREAD_READS_ 2
#define LW_PARK_QUIET 1
#define LW_PARK_SAMPLE 1
#define LW_RAWLOCK_SPINS 1
#define LW_SMR_BATCH 2
#define LW_SMR_YIELDS 1000

struct lw_tls_slot;
static inline struct lw_tls_slot *model_slot(void);
#define LW_TLS_SLOT_() model_slot()

#include "base/domain_internal.h"

#include "engine.hpp"

enum { MODEL_ARENA = 256 * 1024, MODEL_BLOCKS = 256 };

struct model_thread {
    lw_tls_slot slot;
    void *key_value;
    bool no_memory; /* its allocations fail: it gets no record */
};

struct model_block {
    char *start;
    size_t size;
    bool given_back;
};

struct model_sleeper {
    const void *address;
    bool asleep;
};

struct model_state {
    model_thread threads[MODEL_THREADS];
    model_sleeper sleepers[MODEL_THREADS];
    model_block blocks[MODEL_BLOCKS];
    unsigned block_count;
    size_t used;
    int as; /* the thread that code outside of the suite's threads acts as; -1: none */
    int64_t now_ns;
    void (*fork_child)(void);
    unsigned fork_handlers; /* how often they were given */
    unsigned keys_missing;  /* so many keys cannot be made */
    bool clock_jumps;       /* the clock goes on by a second, or not, at each look */
    void (*at_exit)(void *value);
};

static model_state model;
alignas(128) static char model_arena[MODEL_ARENA];

static inline unsigned model_self(void)
{
    return model.as >= 0 ? (unsigned)model.as : rl::thread_index();
}

static inline struct lw_tls_slot *model_slot(void)
{
    return &model.threads[model_self()].slot;
}

#define MODEL_ASSERT(x)                                                                            \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            rl::ctx().fail_test(#x, rl::test_result_user_assert_failed,                            \
                                rl::debug_info(__func__, __FILE__, __LINE__));                     \
        }                                                                                          \
    } while (0)

/* ---- memory: zeroed, never used twice in an execution, and full of other bytes once given back
 * ---- */

static inline void *model_calloc(size_t count, size_t size)
{
    size_t bytes = (count * size + 127) & ~(size_t)127;
    char *start = model_arena + model.used;
    model_block block = {start, bytes, false};
    if (model.threads[model_self()].no_memory) {
        return NULL;
    }
    if (model.used + bytes > sizeof model_arena || model.block_count == MODEL_BLOCKS) {
        fprintf(stderr, "model: the arena is too small\n");
        abort();
    }
    model.blocks[model.block_count++] = block;
    model.used += bytes;
    return start;
}

static inline void model_free(void *ptr)
{
    unsigned i;
    for (i = 0; i < model.block_count; i++) {
        model_block *b = &model.blocks[i];
        if (b->start == ptr) {
            MODEL_ASSERT(!b->given_back && "double free");
            b->given_back = true;
            memset(b->start, 0xdd, b->size);
            return;
        }
    }
    MODEL_ASSERT(!"free of something else");
}

template <class T>
static inline T *model_new(void)
{
    return (T *)model_calloc(1, sizeof(T));
}

/* How many blocks have not been given back. */
static inline unsigned model_blocks_left(void)
{
    unsigned i, n = 0;
    for (i = 0; i < model.block_count; i++) {
        n += !model.blocks[i].given_back;
    }
    return n;
}

/* ---- blocking ---- */

#define MODEL_INFO rl::debug_info(__func__, "model.hpp", __LINE__)

static inline rl::unpark_reason model_sleep(const void *address, bool timed)
{
    model_sleeper *me = &model.sleepers[model_self()];
    rl::unpark_reason reason;
    me->address = address;
    me->asleep = true;
    reason = rl::ctx().park_current_thread(timed, false, false, MODEL_INFO);
    me->asleep = false;
    return reason;
}

/* Wakes one, whichever, or all; orders nothing. */
static inline void model_wake(const void *address, bool all)
{
    unsigned found[MODEL_THREADS], n = 0, i;
    for (i = 0; i < MODEL_THREADS; i++) {
        if (model.sleepers[i].asleep && model.sleepers[i].address == address) {
            found[n++] = i;
        }
    }
    if (n > 1 && !all) {
        found[0] = found[rl::rand(n)];
    }
    for (i = 0; i < n && (all || i == 0); i++) {
        model.sleepers[found[i]].asleep = false;
        rl::ctx().unpark_thread((rl::thread_id_t)found[i], false, MODEL_INFO);
    }
}

static inline void model_set_key(unsigned *key)
{
    *key = 1;
}
template <class K>
static inline void model_set_key(K *key)
{
    LW_PLAIN_SET(key->number, 1);
}

LW_EXTERN_C_BEGIN

#if !defined(LW_MODEL_REAL_PLATFORM)

static const lw_rl_site model_parker_site = {"parker", "model.hpp", 0, "parker"};
static const lw_rl_site model_lock_site = {"rawlock", "model.hpp", 0, "rawlock"};

void lw_parker_prepare_(lw_parker *parker)
{
    parker->state.store(1, rl::mo_relaxed, model_parker_site);
}

/* A wait with a limit may end at any time, even if the wake is on its way. */
lw_status lw_parker_wait_(lw_parker *parker, int64_t deadline_ns, bool interruptible)
{
    for (;;) {
        uint32_t woken = 0;
        /* Fails for want of a wake, and acquires what it sees when there was one. */
        if (parker->state.cas(&woken, 0, rl::mo_acquire, model_parker_site)) {
            return LW_OK;
        }
        if (model_sleep(parker, deadline_ns >= 0 || interruptible) == rl::unpark_reason_timeout) {
            return deadline_ns >= 0 ? LW_TIMEOUT : LW_INTERRUPTED;
        }
    }
}

void lw_parker_wake_(lw_parker *parker)
{
    const void *address = parker;
    parker->state.store(0, rl::mo_release, model_parker_site);
    model_wake(address, true);
    rl::ctx().sched(); /* a system call: the waiter may be gone before the waker goes on */
}

void lw_parker_finish_(lw_parker *parker)
{
    (void)parker;
}

void lw_rawlock_init_(lw_rawlock *lock)
{
    lock->held.store(0, rl::mo_relaxed, model_lock_site);
}

void lw_rawlock_lock_(lw_rawlock *lock)
{
    for (;;) {
        uint32_t none = 0;
        if (lock->held.cas(&none, model_self() + 1, rl::mo_acquire, model_lock_site)) {
            return;
        }
        MODEL_ASSERT(none != model_self() + 1 && "a raw lock is taken twice");
        model_sleep(lock, false);
    }
}

bool lw_rawlock_forked_(lw_rawlock *lock)
{
    bool held = lock->held.latest() != 0;
    lock->held.store(0, rl::mo_relaxed, model_lock_site);
    return held;
}

void lw_rawlock_unlock_(lw_rawlock *lock)
{
    MODEL_ASSERT(lock->held.latest() == model_self() + 1 && "a raw lock is not held");
    lock->held.store(0, rl::mo_release, model_lock_site);
    model_wake(lock, true);
}

#endif

int64_t lw_now_(void)
{
    if (model.clock_jumps && rl::rand(2) != 0) {
        model.now_ns += 1000000000;
    }
    return model.now_ns;
}

void lw_yield_(void)
{
    rl::yield(1, MODEL_INFO);
}

void lw_sleep_(int64_t ns)
{
    (void)ns;
    rl::yield(1, MODEL_INFO);
}

unsigned lw_processors_(void)
{
    return 2;
}

uint64_t lw_random_(void)
{
    return 4;
}

bool lw_membarrier_init_(void)
{
    return lw_rl_fences_ != LW_RL_FENCES_REAL;
}

bool lw_key_create_(lw_tss *key, void (*at_exit)(void *value))
{
    if (model.keys_missing != 0) {
        model.keys_missing--;
        return false;
    }
    model_set_key(key);
    model.at_exit = at_exit;
    return true;
}

bool lw_key_set_(lw_tss key, void *value)
{
    (void)key;
    model.threads[model_self()].key_value = value;
    return true;
}

void *lw_key_get_(lw_tss key)
{
    (void)key;
    return model.threads[model_self()].key_value;
}

bool lw_at_fork_(void (*child)(void))
{
    model.fork_child = child;
    model.fork_handlers++;
    return true;
}

int lw_cancel_off_(void)
{
    return 0;
}

void lw_cancel_restore_(int state)
{
    MODEL_ASSERT(state == 0);
}

uint64_t lw_thread_number_(void)
{
    return ((uint64_t)model_self() + 1) << 6;
}

/* A hook that ends its thread throws this; the suite's body catches it. */
struct model_thread_ended {};

void lw_guard_(void (*call)(void *call_arg), void *call_arg, void (*lost)(void *lost_arg),
               void *lost_arg)
{
    try {
        call(call_arg);
    } catch (const model_thread_ended &) {
        lost(lost_arg);
        throw;
    }
}

void lw_pin_(const void *address)
{
    (void)address;
}

void lw_fatal_(const char *function, const char *message)
{
    rl::ctx().fail_test(message, rl::test_result_user_assert_failed,
                        rl::debug_info(function, function, 0));
    abort();
}

LW_EXTERN_C_END

/* Its place is wanted, so it is a macro from here on. */
#define lw_membarrier_() lw_rl_membarrier()

/* domain.c takes its memory from here. */
#define calloc(count, size) model_calloc(count, size)
#define free(ptr) model_free(ptr)
#include "base/domain.c"
#undef calloc
#undef free
#include "base/park.c"
#include "base/thread.c"

/* ---- suites ---- */

void model_act_as(int thread)
{
    model.as = thread;
}

/* What a thread does at its end: the destructors of the key. */
void model_thread_exit(void)
{
    model_thread *t = &model.threads[model_self()];
    int round;
    for (round = 0; round < 4 && t->key_value != NULL; round++) {
        void *value = t->key_value;
        t->key_value = NULL;
        model.at_exit(value);
    }
}

/* Once the domain is made and the modules have registered themselves; and of what the thread alone
 * writes. The exit of a thread reads its own slots, and an end of a read lock there has operations
 * before and after it. */
static const char *const model_quiet[] = {"domain.c", "lw_module", "lw_thread_end_reads",
                                          "lw_record_locks", NULL};

/* Makes a thread's record beforehand, for a suite that is not about that. */
static inline void model_attach(int thread)
{
    int as = model.as;
    model.as = thread;
    MODEL_ASSERT(lw_thread_self() != NULL);
    model.as = as;
}

model_entry *model_entries;
const model_entry *model_chosen;

/* The base of a suite D, which may have a makes_domain and a keys_missing of its own. */
template <class D, int N, bool exits>
struct model_suite : model_case {
    static const int model_threads = N;
    static const bool model_exits = exits;
    static const bool makes_domain = true;
    static const unsigned keys_missing = 0;
};

template <class D>
struct model_registration {
    model_entry entry;

    explicit model_registration(const char *name)
    {
        model_entry mine = {
            name,      D::model_threads, D::model_exits, D::makes_domain, D::keys_missing,
            construct, model_entries};
        entry = mine;
        model_entries = &entry;
    }
    static model_case *construct(void *storage)
    {
        return ::new (storage) D();
    }
};
#define MODEL_SUITE(name) static model_registration<name> model_register_##name(#name)

void model_begin(void)
{
    lw_rl_begin();
    memset(model_arena, 0, model.used);
    memset((void *)&model, 0, sizeof model);
    memset((void *)&lw_own_domain, 0, sizeof lw_own_domain);
    model.now_ns = 1000;
    model.keys_missing = model_chosen->keys_missing;
    lw_rl_quiet_ = NULL;
    if (model_chosen->makes_domain) {
        (void)lw_domain_get();
        lw_rl_quiet_ = model_quiet;
    }
}

#endif /* LATCHWORK_MODEL_HPP */
