/* SPDX-License-Identifier: BSD-2-Clause */
/* Atomics under the Relacy model checker (D. Vyukov): C++ only, for tests/model. Included by
 * atomic.h; contracts are there, docs/models.md says what is checked.
 *
 * As in production, all-zero bytes are a valid object: what the checker needs is made at the first
 * touch, and dropped after each execution. Memory that was given up holds other bytes, and touching
 * it is an error. Each operation knows its place in the source (file, line), so that one run can
 * weaken the order of one place.
 *
 * Two rules differ from Relacy's own: a relaxed store does not go on with the release sequence of
 * its thread (C++20, P0982), and an object begins with a value that every thread has seen. */
#ifndef LATCHWORK_ATOMIC_RELACY_H
#define LATCHWORK_ATOMIC_RELACY_H

#ifndef __cplusplus
#error "the Relacy back end is C++ only"
#endif

#include <latchwork/config.h>

#include <errno.h>
#include <string.h>

#include <relacy/relacy.hpp>

/* Relacy takes these names from the language and its library. */
#undef $
#undef VAR
#undef VAR_T
#undef TLS_T
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#define errno (*__errno_location())
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

/* ---- places in the source ---- */

struct lw_rl_site {
    const char *op;
    const char *file;
    unsigned line;
    const char *function;

    const char *base() const
    {
        const char *slash = strrchr(file, '/');
        return slash != NULL ? slash + 1 : file;
    }
    rl::debug_info info() const
    {
        return rl::debug_info(function, base(), line);
    }
};

/* One place whose order is weakened, or whose fence is left out, in this run. */
struct lw_rl_mutation {
    const char *file; /* without folders; NULL: none */
    unsigned line;
    const char *op;
    rl::memory_order order; /* fences: any */
};
inline lw_rl_mutation lw_rl_mutation_;

static inline bool lw_rl_mutated(const lw_rl_site &site)
{
    return LW_UNLIKELY(site.line == lw_rl_mutation_.line) && lw_rl_mutation_.file != NULL &&
           strcmp(site.base(), lw_rl_mutation_.file) == 0 &&
           strcmp(site.op, lw_rl_mutation_.op) == 0;
}

/* Files and functions whose atomics nobody writes during a suite: no scheduling points there. The
 * list ends with NULL; no list: none. */
inline const char *const *lw_rl_quiet_;

static inline void lw_rl_schedule(const lw_rl_site &site)
{
    const char *const *quiet = lw_rl_quiet_;
    for (; quiet != NULL && *quiet != NULL; quiet++) {
        if (strcmp(site.function, *quiet) == 0 || strcmp(site.base(), *quiet) == 0) {
            return;
        }
    }
    rl::ctx().sched();
}

/* The places that were executed: which mutants can a run tell anything about? */
struct lw_rl_coverage {
    enum { SIZE = 1024 };
    bool wanted;
    lw_rl_site sites[SIZE];
};
inline lw_rl_coverage lw_rl_coverage_;

static inline void lw_rl_visit(const lw_rl_site &site)
{
    unsigned i;
    if (LW_LIKELY(!lw_rl_coverage_.wanted)) {
        return;
    }
    for (i = site.line * 31 % lw_rl_coverage::SIZE;; i = (i + 1) % lw_rl_coverage::SIZE) {
        lw_rl_site *known = &lw_rl_coverage_.sites[i];
        if (known->file == NULL) {
            *known = site;
        }
        if (known->line == site.line && strcmp(known->op, site.op) == 0 &&
            strcmp(known->file, site.file) == 0) {
            return;
        }
    }
}

static inline rl::memory_order lw_rl_order(const lw_rl_site &site, rl::memory_order order)
{
    lw_rl_visit(site);
    return lw_rl_mutated(site) ? lw_rl_mutation_.order : order;
}

/* ---- what depends on the number of threads, a template parameter inside of Relacy ---- */

struct lw_rl_threads {
    void (*unseen)(rl::atomic_data *data, unsigned index);
    void (*relaxed_store)(rl::thread_info_base *thread, rl::atomic_data *data, unsigned index);
};
inline lw_rl_threads lw_rl_threads_;

template <int N>
struct lw_rl_threads_of {
    /* Relacy leaves this field of an initial value unset. */
    static void unseen(rl::atomic_data *data, unsigned index)
    {
        auto *d = static_cast<rl::atomic_data_impl<N> *>(data);
        for (int i = 0; i < N; i++) {
            d->history_[index].first_seen_order_[i] = (rl::timestamp_t)-1;
        }
    }
    /* Without the release sequence of the thread's earlier stores, which Relacy goes on with. */
    static void relaxed_store(rl::thread_info_base *thread, rl::atomic_data *data, unsigned index)
    {
        auto *t = static_cast<rl::thread_info<N> *>(thread);
        auto *d = static_cast<rl::atomic_data_impl<N> *>(data);
        for (int i = 0; i < N; i++) {
            d->history_[index].acq_rel_order_[i] = t->release_fence_order_[i];
        }
    }
    static void install()
    {
        lw_rl_threads_.unseen = unseen;
        lw_rl_threads_.relaxed_store = relaxed_store;
    }
};

/* ---- one execution ---- */

struct lw_rl_execution {
    enum { SIZE = 4096 };
    uint64_t tag; /* what a live object of this execution bears */
    rl::atomic_data *cells[SIZE];
    rl::var_data *plains[SIZE];
    unsigned cell_count;
    unsigned plain_count;
};
inline lw_rl_execution lw_rl_execution_;

#define LW_RL_TAG_ UINT64_C(0x4c57)
#define LW_RL_DEAD_ UINT64_C(0xdddddddddddddddd)

/* Before an execution. What an execution that failed has left goes with its context. */
static inline void lw_rl_begin(void)
{
    static uint64_t count;
    lw_rl_execution_.tag = LW_RL_TAG_ << 48 | ++count;
    lw_rl_execution_.cell_count = lw_rl_execution_.plain_count = 0;
}

/* After an execution that went through. */
static inline void lw_rl_end(void)
{
    unsigned i;
    for (i = 0; i < lw_rl_execution_.cell_count; i++) {
        rl::ctx().atomic_dtor(lw_rl_execution_.cells[i]);
    }
    for (i = 0; i < lw_rl_execution_.plain_count; i++) {
        rl::ctx().var_dtor(lw_rl_execution_.plains[i]);
    }
    lw_rl_execution_.cell_count = lw_rl_execution_.plain_count = 0;
}

struct lw_rl_event {
    const char *what;
    const void *address;
    uint64_t old_value;
    uint64_t new_value;
    const char *order;

    void output(std::ostream &out) const
    {
        out << what << " " << address << std::hex << " 0x" << old_value << " -> 0x" << new_value
            << std::dec << " " << order;
    }
};

template <class T>
static inline uint64_t lw_rl_number(T value)
{
    return (uint64_t)value;
}
template <class T>
static inline uint64_t lw_rl_number(T *value)
{
    return (uint64_t)(uintptr_t)value;
}

static inline void lw_rl_log(const lw_rl_site &site, const char *what, const void *address,
                             uint64_t old_value, uint64_t new_value, const char *order)
{
    rl::context &c = rl::ctx();
    if (c.collecting_history()) {
        lw_rl_event event = {what, address, old_value, new_value, order};
        c.exec_log(site.info(), event);
    }
}

/* False: not touched yet in this execution. */
static inline bool lw_rl_alive(uint64_t tag, const lw_rl_site &site)
{
    if (LW_LIKELY(tag == lw_rl_execution_.tag)) {
        return true;
    }
    if (tag != 0 && tag >> 48 != LW_RL_TAG_) {
        lw_rl_log(site, "DEAD MEMORY", NULL, tag, 0, site.op);
        rl::ctx().fail_test("access to freed memory", rl::test_result_access_to_freed_memory,
                            site.info());
    }
    return false;
}

/* ---- atomics ---- */

template <class T>
class lw_rl_cell {
  public:
    constexpr lw_rl_cell() : lw_rl_cell(T()) {}
    constexpr lw_rl_cell(T first) : tag_(0), data_(NULL), first_(first), latest_(first), history_()
    {
    }
    lw_rl_cell(const lw_rl_cell &) = delete;
    lw_rl_cell &operator=(const lw_rl_cell &) = delete;
    ~lw_rl_cell()
    {
        *(volatile uint64_t *)&tag_ = LW_RL_DEAD_;
    }

    T load(rl::memory_order order, const lw_rl_site &site) const
    {
        rl::thread_info_base *t = enter(site);
        unsigned i =
            order == rl::mo_acquire ? t->atomic_load_acquire(data_) : t->atomic_load_relaxed(data_);
        T value = history_[i];
        lw_rl_log(site, site.op, this, lw_rl_number(latest_), lw_rl_number(value),
                  rl::format(order));
        return value;
    }

    void store(T value, rl::memory_order order, const lw_rl_site &site)
    {
        rl::thread_info_base *t = enter(site);
        T old = latest_;
        unsigned i;
        if (order == rl::mo_release) {
            i = t->atomic_store_release(data_);
        } else {
            i = t->atomic_store_relaxed(data_);
            lw_rl_threads_.relaxed_store(t, data_, i);
        }
        history_[i] = latest_ = value;
        lw_rl_log(site, site.op, this, lw_rl_number(old), lw_rl_number(value), rl::format(order));
    }

    template <class F>
    T modify(F f, rl::memory_order order, const lw_rl_site &site)
    {
        rl::thread_info_base *t = enter(site);
        T old = latest_;
        write(t, f(old), order);
        lw_rl_log(site, site.op, this, lw_rl_number(old), lw_rl_number(latest_), rl::format(order));
        return old;
    }

    bool cas(T *expected, T desired, rl::memory_order order, const lw_rl_site &site)
    {
        rl::thread_info_base *t = enter(site);
        T old = latest_;
        if (old == *expected) {
            write(t, desired, order);
            lw_rl_log(site, site.op, this, lw_rl_number(old), lw_rl_number(desired),
                      rl::format(order));
            return true;
        }
        if (order == rl::mo_acquire || order == rl::mo_acq_rel) {
            t->atomic_load_acquire_rmw(data_);
        } else {
            t->atomic_load_relaxed_rmw(data_);
        }
        *expected = old;
        lw_rl_log(site, "failed cas", this, lw_rl_number(old), lw_rl_number(desired),
                  rl::format(order));
        return false;
    }

    /* As a kernel reads it: the last value, which the thread cannot go back behind. Orders
     * nothing. */
    T look(const lw_rl_site &site) const
    {
        if (!lw_rl_alive(tag_, site)) {
            make();
        }
        rl::ctx().threadx_->atomic_load_relaxed_rmw(data_);
        return latest_;
    }

    /* The last value in modification order, without an access: for oracles and models of
     * systems. */
    T latest() const
    {
        return tag_ == lw_rl_execution_.tag ? latest_ : first_;
    }

  private:
    mutable uint64_t tag_;
    mutable rl::atomic_data *data_;
    T first_;
    mutable T latest_;
    mutable T history_[rl::atomic_history_size];

    rl::thread_info_base *enter(const lw_rl_site &site) const
    {
        lw_rl_schedule(site);
        if (!lw_rl_alive(tag_, site)) {
            make();
        }
        return rl::ctx().threadx_;
    }

    LW_NOINLINE void make() const
    {
        rl::context &c = rl::ctx();
        unsigned i;
        data_ = c.atomic_ctor(NULL);
        lw_rl_execution_.cells[lw_rl_execution_.cell_count++] = data_;
        if (lw_rl_execution_.cell_count == lw_rl_execution::SIZE) {
            c.fail_test("too many atomics", rl::test_result_inconsistent_test_suite,
                        rl::debug_info());
        }
        i = c.threadx_->atomic_init(data_);
        lw_rl_threads_.unseen(data_, i);
        history_[i] = latest_ = first_;
        tag_ = lw_rl_execution_.tag;
    }

    void write(rl::thread_info_base *t, T value, rl::memory_order order)
    {
        bool aba = false;
        unsigned i = 0;
        switch (order) {
        case rl::mo_acquire:
            i = t->atomic_rmw_acquire(data_, aba);
            break;
        case rl::mo_release:
            i = t->atomic_rmw_release(data_, aba);
            break;
        case rl::mo_acq_rel:
            i = t->atomic_rmw_acq_rel(data_, aba);
            break;
        default:
            i = t->atomic_rmw_relaxed(data_, aba);
            break;
        }
        history_[i] = latest_ = value;
    }
};

#define LW_RL_PLACE_                                                                               \
    const char *file = __builtin_FILE(), unsigned line = __builtin_LINE(),                         \
               const char *function = __builtin_FUNCTION()
#define LW_RL_HERE_(op)                                                                            \
    {                                                                                              \
        op, file, line, function                                                                   \
    }

#define LW_GEN_LOAD_(S, T, name)                                                                   \
    static inline T lw_atomic_load_##name##_##S(const lw_atomic_##S *a, LW_RL_PLACE_)              \
    {                                                                                              \
        const lw_rl_site site = LW_RL_HERE_("load_" #name "_" #S);                                 \
        return a->load(lw_rl_order(site, rl::mo_##name), site);                                    \
    }
#define LW_GEN_STORE_(S, T, name)                                                                  \
    static inline void lw_atomic_store_##name##_##S(lw_atomic_##S *a, T value, LW_RL_PLACE_)       \
    {                                                                                              \
        const lw_rl_site site = LW_RL_HERE_("store_" #name "_" #S);                                \
        a->store(value, lw_rl_order(site, rl::mo_##name), site);                                   \
    }
#define LW_GEN_SWAP_(S, T, name)                                                                   \
    static inline T lw_atomic_exchange_##name##_##S(lw_atomic_##S *a, T value, LW_RL_PLACE_)       \
    {                                                                                              \
        const lw_rl_site site = LW_RL_HERE_("exchange_" #name "_" #S);                             \
        return a->modify([value](T) { return value; }, lw_rl_order(site, rl::mo_##name), site);    \
    }                                                                                              \
    static inline bool lw_atomic_cas_##name##_##S(lw_atomic_##S *a, T *expected, T desired,        \
                                                  LW_RL_PLACE_)                                    \
    {                                                                                              \
        const lw_rl_site site = LW_RL_HERE_("cas_" #name "_" #S);                                  \
        return a->cas(expected, desired, lw_rl_order(site, rl::mo_##name), site);                  \
    }
#define LW_GEN_RMW_(S, T, op, sign, name)                                                          \
    static inline T lw_atomic_##op##_##name##_##S(lw_atomic_##S *a, T value, LW_RL_PLACE_)         \
    {                                                                                              \
        const lw_rl_site site = LW_RL_HERE_(#op "_" #name "_" #S);                                 \
        return a->modify([value](T old) { return (T)(old sign value); },                           \
                         lw_rl_order(site, rl::mo_##name), site);                                  \
    }
#define LW_GEN_RMW_ORDERS_(S, T, op, sign)                                                         \
    LW_GEN_RMW_(S, T, op, sign, relaxed)                                                           \
    LW_GEN_RMW_(S, T, op, sign, acquire)                                                           \
    LW_GEN_RMW_(S, T, op, sign, release)                                                           \
    LW_GEN_RMW_(S, T, op, sign, acq_rel)
#define LW_GEN_TYPE_(S, T)                                                                         \
    struct lw_atomic_##S : lw_rl_cell<T> {                                                         \
        using lw_rl_cell<T>::lw_rl_cell;                                                           \
    };                                                                                             \
    LW_GEN_LOAD_(S, T, relaxed)                                                                    \
    LW_GEN_LOAD_(S, T, acquire)                                                                    \
    LW_GEN_STORE_(S, T, relaxed)                                                                   \
    LW_GEN_STORE_(S, T, release)                                                                   \
    LW_GEN_SWAP_(S, T, relaxed)                                                                    \
    LW_GEN_SWAP_(S, T, acquire)                                                                    \
    LW_GEN_SWAP_(S, T, release)                                                                    \
    LW_GEN_SWAP_(S, T, acq_rel)
#define LW_GEN_ARITH_(S, T)                                                                        \
    LW_GEN_RMW_ORDERS_(S, T, add, +)                                                               \
    LW_GEN_RMW_ORDERS_(S, T, sub, -)                                                               \
    LW_GEN_RMW_ORDERS_(S, T, or, |)                                                                \
    LW_GEN_RMW_ORDERS_(S, T, and, &)                                                               \
    LW_GEN_RMW_ORDERS_(S, T, xor, ^)

LW_GEN_TYPE_(u8, uint8_t)
LW_GEN_TYPE_(u32, uint32_t)
LW_GEN_TYPE_(u64, uint64_t)
LW_GEN_TYPE_(ptr, void *)
LW_GEN_ARITH_(u32, uint32_t)
LW_GEN_ARITH_(u64, uint64_t)

#undef LW_GEN_LOAD_
#undef LW_GEN_STORE_
#undef LW_GEN_SWAP_
#undef LW_GEN_RMW_
#undef LW_GEN_RMW_ORDERS_
#undef LW_GEN_TYPE_
#undef LW_GEN_ARITH_

/* ---- fences ---- */

/* What the two halves of the asymmetric pair are in this run. */
enum lw_rl_fences {
    LW_RL_FENCES_SYMMETRIC, /* both are seq_cst fences: stronger, and what C++ can express */
    LW_RL_FENCES_GLOBAL,    /* the light one is nothing, the dear one fences all threads at once */
    LW_RL_FENCES_REAL, /* no membarrier: the light one is nothing, the library uses real fences */
};
inline lw_rl_fences lw_rl_fences_;

static inline bool lw_rl_fence_wanted(const lw_rl_site &site)
{
    lw_rl_visit(site);
    return !lw_rl_mutated(site);
}

static inline void lw_fence_seq_cst(LW_RL_PLACE_)
{
    const lw_rl_site site = LW_RL_HERE_("fence_seq_cst");
    if (lw_rl_fence_wanted(site)) {
        rl::atomic_thread_fence(rl::mo_seq_cst, site.info());
    }
}

static inline void lw_fence_light(LW_RL_PLACE_)
{
    const lw_rl_site site = LW_RL_HERE_("fence_light");
    if (lw_rl_fence_wanted(site) && lw_rl_fences_ == LW_RL_FENCES_SYMMETRIC) {
        rl::atomic_thread_fence(rl::mo_seq_cst, site.info());
    }
}

/* For the platform of the models: the dear half. */
static inline void lw_rl_membarrier(LW_RL_PLACE_)
{
    const lw_rl_site site = LW_RL_HERE_("membarrier");
    if (lw_rl_fence_wanted(site)) {
        if (lw_rl_fences_ == LW_RL_FENCES_GLOBAL) {
            rl::ctx().sched();
            rl::systemwide_fence(site.info());
        } else {
            rl::atomic_thread_fence(rl::mo_seq_cst, site.info());
        }
    }
}

/* The loops that call it give up after a few rounds. A yield would hide the executions in which
 * nobody else has run meanwhile. */
static inline void lw_cpu_relax(void) {}

/* ---- fields that something else protects ---- */

template <class T>
class lw_rl_plain {
  public:
    constexpr lw_rl_plain() : tag_(0), data_(NULL), value_() {}
    lw_rl_plain(const lw_rl_plain &) = delete;
    lw_rl_plain &operator=(const lw_rl_plain &) = delete;
    ~lw_rl_plain()
    {
        *(volatile uint64_t *)&tag_ = LW_RL_DEAD_;
    }

    T get(const lw_rl_site &site) const
    {
        rl::context &c = rl::ctx();
        if (!lw_rl_alive(tag_, site)) {
            make();
        }
        lw_rl_log(site, "read", this, lw_rl_number(value_), lw_rl_number(value_), "");
        if (!data_->load(*c.threadx_)) {
            c.fail_test("data race detected", rl::test_result_data_race, site.info());
        }
        return value_;
    }

    void set(T value, const lw_rl_site &site)
    {
        rl::context &c = rl::ctx();
        if (!lw_rl_alive(tag_, site)) {
            make();
        }
        lw_rl_log(site, "write", this, lw_rl_number(value_), lw_rl_number(value), "");
        if (!data_->store(*c.threadx_)) {
            c.fail_test("data race detected", rl::test_result_data_race, site.info());
        }
        value_ = value;
    }

  private:
    mutable uint64_t tag_;
    mutable rl::var_data *data_;
    mutable T value_;

    LW_NOINLINE void make() const
    {
        data_ = rl::ctx().var_ctor();
        lw_rl_execution_.plains[lw_rl_execution_.plain_count++] = data_;
        if (lw_rl_execution_.plain_count == lw_rl_execution::SIZE) {
            rl::ctx().fail_test("too many plain fields", rl::test_result_inconsistent_test_suite,
                                rl::debug_info());
        }
        if (tag_ != 0) {
            value_ = T();
        }
        tag_ = lw_rl_execution_.tag;
    }
};

#define LW_PLAIN(T) lw_rl_plain<T>
#define LW_PLAIN_GET(field) ((field).get({"read", __FILE__, __LINE__, __func__}))
#define LW_PLAIN_SET(field, value) ((field).set((value), {"write", __FILE__, __LINE__, __func__}))

#endif /* LATCHWORK_ATOMIC_RELACY_H */
