/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/latchwork.hpp>

#include "unit.h"

#include <condition_variable>
#include <limits>
#include <mutex>

using namespace std::chrono_literals;

/* ---- what the standard asks of the types ---- */

template <class T>
constexpr bool is_a_lock()
{
    return std::is_default_constructible<T>::value && std::is_nothrow_destructible<T>::value &&
           !std::is_copy_constructible<T>::value && !std::is_copy_assignable<T>::value &&
           !std::is_move_constructible<T>::value && !std::is_move_assignable<T>::value;
}

/* The C object and nothing else: constant initialisation, no destructor that does anything. */
template <class T, class C>
constexpr bool wraps()
{
    return sizeof(T) == sizeof(C) && alignof(T) == alignof(C) &&
           std::is_standard_layout<T>::value && std::is_trivially_destructible<T>::value &&
           std::is_same<C *, typename T::native_handle_type>::value &&
           std::is_same<C *, decltype(std::declval<T &>().native_handle())>::value;
}

template <class T>
constexpr bool is_timed_lockable()
{
    using steady = std::chrono::steady_clock::time_point;
    return std::is_void<decltype(std::declval<T &>().lock())>::value &&
           std::is_void<decltype(std::declval<T &>().unlock())>::value &&
           std::is_same<bool, decltype(std::declval<T &>().try_lock())>::value &&
           std::is_same<bool, decltype(std::declval<T &>().try_lock_for(1ms))>::value &&
           std::is_same<bool, decltype(std::declval<T &>().try_lock_until(steady()))>::value;
}

static_assert(is_a_lock<latchwork::mutex>(), "Mutex");
static_assert(is_timed_lockable<latchwork::mutex>(), "TimedLockable");
static_assert(wraps<latchwork::mutex, lw_mutex_t>(), "layout");
static_assert(sizeof(latchwork::mutex) == 4, "four bytes");

/* A constant, so that the initialisation has to be one. */
static constexpr latchwork::mutex constant_mutex;
#if defined(__cpp_constinit)
static constinit latchwork::mutex static_mutex;
#else
static latchwork::mutex static_mutex;
#endif

static_assert(!std::is_copy_constructible<latchwork::smr_section>::value, "bound to its block");
static_assert(!std::is_move_constructible<latchwork::smr_section>::value, "bound to its block");

struct counted : latchwork::ref_counted<counted> {
    explicit counted(int *destroyed, int v = 0) : value(v), destroyed_(destroyed) {}
    ~counted()
    {
        ++*destroyed_;
    }
    int value;
    int *destroyed_;
};

static_assert(sizeof(latchwork::ref<counted>) == sizeof(void *), "a pointer");
static_assert(std::is_nothrow_copy_constructible<latchwork::ref<counted>>::value, "copyable");
static_assert(std::is_nothrow_move_constructible<latchwork::ref<counted>>::value, "movable");
static_assert(std::is_nothrow_copy_assignable<latchwork::ref<counted>>::value, "assignable");
static_assert(!std::is_copy_constructible<counted>::value, "a count is of one object");

/* ---- durations ---- */

TEST(durations_become_nanoseconds_rounded_up)
{
    using latchwork::detail::timeout_ns;
    using picoseconds = std::chrono::duration<int64_t, std::pico>;
    CHECK_EQ(timeout_ns(0s), 0);
    CHECK_EQ(timeout_ns(-1ns), 0);
    CHECK_EQ(timeout_ns(std::chrono::hours::min()), 0);
    CHECK_EQ(timeout_ns(1ns), 1);
    CHECK_EQ(timeout_ns(3ms), 3000000);
    CHECK_EQ(timeout_ns(picoseconds(1)), 1);
    CHECK_EQ(timeout_ns(picoseconds(1000)), 1);
    CHECK_EQ(timeout_ns(picoseconds(1001)), 2);
    CHECK_EQ(timeout_ns(std::chrono::duration<double>(0.25)), 250000000);
    CHECK_EQ(timeout_ns(std::chrono::duration<double, std::nano>(0.5)), 1);
    CHECK_EQ(timeout_ns(std::chrono::hours(24 * 365 * 100)), INT64_C(3153600000000000000));
}

TEST(durations_that_no_integer_holds_are_no_limit)
{
    using latchwork::detail::timeout_ns;
    CHECK(timeout_ns(std::chrono::hours::max()) < 0);
    CHECK(timeout_ns(std::chrono::seconds::max()) < 0);
    CHECK(timeout_ns(std::chrono::nanoseconds::max()) < 0);
    CHECK(timeout_ns(std::chrono::duration<double>(1e300)) < 0);
    CHECK(timeout_ns(std::chrono::duration<double>(std::numeric_limits<double>::infinity())) < 0);
    /* Not a number is no time at all. */
    CHECK_EQ(timeout_ns(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())),
             0);
}

/* A clock that the test sets. */
struct set_clock {
    using duration = std::chrono::milliseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<set_clock>;
    static constexpr bool is_steady = false;
    static duration time;
    static time_point now()
    {
        return time_point(time);
    }
};

set_clock::duration set_clock::time = 0ms;

TEST(a_wait_for_a_clock_that_is_set_back_goes_on)
{
    int calls = 0;
    set_clock::time = 100ms;
    bool woken = latchwork::detail::wait_until(set_clock::time_point(110ms), [&](int64_t ns) {
        calls++;
        switch (calls) {
        case 1:
            CHECK_EQ(ns, 10000000);
            set_clock::time = 60ms;
            return false;
        case 2:
            CHECK_EQ(ns, 50000000);
            set_clock::time = 500ms;
            return false;
        default:
            CHECK_EQ(ns, 0); /* the last look asks only */
            return false;
        }
    });
    CHECK(!woken);
    CHECK_EQ(calls, 3);
}

TEST(a_wait_for_a_time_that_is_over_asks_once)
{
    int calls = 0;
    set_clock::time = 100ms;
    CHECK(latchwork::detail::wait_until(set_clock::time_point(100ms), [&](int64_t ns) {
        CHECK_EQ(ns, 0);
        return ++calls == 1;
    }));
    CHECK(latchwork::detail::wait_until(set_clock::time_point::min(), [&](int64_t ns) {
        CHECK_EQ(ns, 0);
        return ++calls == 2;
    }));
    CHECK_EQ(calls, 2);
}

/* ---- mutex ---- */

struct guarded {
    latchwork::mutex mutex;
    uint64_t value = 0;
};

static void add_with_each_guard(void *arg)
{
    guarded *g = static_cast<guarded *>(arg);
    for (int i = 0; i < 3000; i++) {
        switch (i % 3) {
        case 0: {
            std::lock_guard<latchwork::mutex> lock(g->mutex);
            g->value++;
            break;
        }
        case 1: {
            std::unique_lock<latchwork::mutex> lock(g->mutex);
            g->value++;
            break;
        }
        default: {
            std::scoped_lock lock(g->mutex);
            g->value++;
            break;
        }
        }
    }
}

TEST(the_standard_guards_exclude)
{
    enum { THREADS = 4 };
    support_thread threads[THREADS];
    guarded g;
    for (support_thread &thread : threads) {
        support_start(&thread, add_with_each_guard, &g);
    }
    for (support_thread &thread : threads) {
        support_join(&thread);
    }
    CHECK_EQ(g.value, 3000 * THREADS);
    CHECK(!lw_mutex_is_locked(g.mutex.native_handle()));
}

TEST(a_static_mutex_needs_no_constructor)
{
    CHECK(!lw_mutex_is_locked(const_cast<latchwork::mutex &>(constant_mutex).native_handle()));
    CHECK(static_mutex.try_lock());
    CHECK(!static_mutex.try_lock());
    static_mutex.unlock();
}

TEST(two_are_locked_together)
{
    latchwork::mutex a, b;
    {
        std::scoped_lock both(a, b);
        CHECK(!a.try_lock());
        CHECK(!b.try_lock());
    }
    std::unique_lock<latchwork::mutex> first(a, std::defer_lock), second(b, std::defer_lock);
    std::lock(first, second);
    CHECK(first.owns_lock() && second.owns_lock());
    first.unlock();
    CHECK_EQ(std::try_lock(a, b), 1); /* the second was held; the first was let go */
    CHECK(!lw_mutex_is_locked(a.native_handle()));
}

TEST(the_c_functions_see_the_same_lock)
{
    latchwork::mutex m;
    m.lock();
    CHECK(!lw_mutex_trylock(m.native_handle()));
    lw_mutex_unlock(m.native_handle());
    lw_mutex_lock(m.native_handle());
    CHECK(!m.try_lock());
    m.unlock();
}

TEST(limits_of_every_kind_end_a_wait)
{
    latchwork::mutex m;
    m.lock();
    int64_t begin = support_now();
    CHECK(!m.try_lock_for(0s));
    CHECK(!m.try_lock_for(-1h));
    CHECK(!m.try_lock_for(2ms));
    CHECK(!m.try_lock_for(std::chrono::duration<float>(0.002f)));
    CHECK(!m.try_lock_until(std::chrono::steady_clock::now() + 2ms));
    CHECK(!m.try_lock_until(std::chrono::system_clock::now() + 2ms));
    CHECK(!m.try_lock_until(std::chrono::steady_clock::time_point::min()));
    CHECK(support_now() - begin >= 6000000);
    std::unique_lock<latchwork::mutex> timed(m, 1ms);
    CHECK(!timed.owns_lock());
    m.unlock();
    CHECK(timed.try_lock_for(0s));
    timed.unlock();
    CHECK(m.try_lock_until(std::chrono::steady_clock::time_point::min()));
    m.unlock();
    CHECK(m.try_lock_for(std::chrono::hours::max()));
    m.unlock();
}

static void lock_without_limit(void *arg)
{
    guarded *g = static_cast<guarded *>(arg);
    CHECK(g->mutex.try_lock_for(std::chrono::hours::max()));
    g->value++;
    g->mutex.unlock();
}

TEST(a_wait_with_a_limit_is_woken)
{
    support_thread thread;
    guarded g;
    g.mutex.lock();
    support_start(&thread, lock_without_limit, &g);
    support_await_waiters(g.mutex.native_handle(), 1);
    g.mutex.unlock();
    support_join(&thread);
    CHECK_EQ(g.value, 1);
}

struct rendezvous {
    latchwork::mutex mutex;
    std::condition_variable_any condition;
    bool ready = false;
};

static void make_ready(void *arg)
{
    rendezvous *r = static_cast<rendezvous *>(arg);
    std::lock_guard<latchwork::mutex> lock(r->mutex);
    r->ready = true;
    r->condition.notify_one();
}

TEST(the_standard_condition_variable_takes_it)
{
    support_thread thread;
    rendezvous r;
    {
        std::unique_lock<latchwork::mutex> lock(r.mutex);
        support_start(&thread, make_ready, &r);
        r.condition.wait(lock, [&] { return r.ready; });
        CHECK(r.ready);
    }
    support_join(&thread);
}

/* ---- sections ---- */

TEST(a_section_lasts_as_long_as_its_block)
{
    CHECK(!lw_smr_in_section());
    {
        latchwork::smr_section outer;
        CHECK(lw_smr_in_section());
        {
            latchwork::smr_section inner;
            CHECK(lw_smr_in_section());
        }
        CHECK(lw_smr_in_section());
    }
    CHECK(!lw_smr_in_section());
}

/* ---- references ---- */

TEST(the_last_reference_deletes)
{
    int destroyed = 0;
    {
        latchwork::ref<counted> a = latchwork::make_ref<counted>(&destroyed, 7);
        CHECK_EQ(a->value, 7);
        CHECK_EQ((*a).value, 7);
        CHECK_EQ(lw_ref_count(a->native_handle()), 1);
        latchwork::ref<counted> b = a;
        CHECK(a == b);
        CHECK_EQ(lw_ref_count(a->native_handle()), 2);
        latchwork::ref<counted> c = std::move(a);
        CHECK(!a); /* NOLINT(bugprone-use-after-move): a promise of ours */
        CHECK(a == nullptr && a != c && c == b);
        CHECK_EQ(lw_ref_count(c->native_handle()), 2);
        b.reset();
        b.reset();
        CHECK_EQ(lw_ref_count(c->native_handle()), 1);
        CHECK_EQ(destroyed, 0);
    }
    CHECK_EQ(destroyed, 1);
}

TEST(assignment_lets_go_of_the_old)
{
    int first = 0, second = 0;
    latchwork::ref<counted> a = latchwork::make_ref<counted>(&first);
    latchwork::ref<counted> b = latchwork::make_ref<counted>(&second);
    latchwork::ref<counted> &self = a;
    a = self;
    CHECK_EQ(first, 0);
    swap(a, b);
    CHECK(a->destroyed_ == &second && b->destroyed_ == &first);
    a = b;
    CHECK_EQ(second, 1);
    CHECK_EQ(lw_ref_count(a->native_handle()), 2);
    b = nullptr;
    a = latchwork::ref<counted>();
    CHECK_EQ(first, 1);
}

TEST(references_cross_to_c_and_back)
{
    int destroyed = 0;
    latchwork::ref<counted> a = latchwork::make_ref<counted>(&destroyed);
    counted *raw = a.release();
    CHECK(!a && destroyed == 0);
    a = latchwork::ref<counted>::share(raw);
    CHECK_EQ(lw_ref_count(raw->native_handle()), 2);
    latchwork::ref<counted> b = latchwork::ref<counted>::try_share(raw);
    CHECK(b && lw_ref_count(raw->native_handle()) == 3);
    b.reset();
    a.reset();
    CHECK(!latchwork::ref<counted>::share(nullptr));
    CHECK(!latchwork::ref<counted>::try_share(nullptr));
    b = latchwork::ref<counted>::adopt(raw);
    b.reset();
    CHECK_EQ(destroyed, 1);
}

/* Where the base is not where the object begins. */
struct first_base {
    uint64_t words[2] = {1, 2};
};
struct second_base : first_base, latchwork::ref_counted<second_base> {
    explicit second_base(int *destroyed) : destroyed_(destroyed) {}
    ~second_base()
    {
        CHECK_EQ(words[1], 2);
        ++*destroyed_;
    }
    int *destroyed_;
};

TEST(the_count_need_not_come_first)
{
    int destroyed = 0;
    latchwork::make_ref<second_base>(&destroyed).reset();
    CHECK_EQ(destroyed, 1);
}

static void copy_and_drop(void *arg)
{
    latchwork::ref<counted> own = *static_cast<latchwork::ref<counted> *>(arg);
    for (int i = 0; i < 1000; i++) {
        latchwork::ref<counted> copy = own;
        own = copy;
    }
}

TEST(threads_share_an_object)
{
    int destroyed = 0;
    support_thread threads[3];
    latchwork::ref<counted> shared = latchwork::make_ref<counted>(&destroyed);
    for (support_thread &thread : threads) {
        support_start(&thread, copy_and_drop, &shared);
    }
    for (support_thread &thread : threads) {
        support_join(&thread);
    }
    CHECK_EQ(destroyed, 0);
    CHECK_EQ(lw_ref_count(shared->native_handle()), 1);
    shared.reset();
    (void)lw_ref_drain();
    CHECK_EQ(destroyed, 1);
}
