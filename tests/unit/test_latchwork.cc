/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/latchwork.hpp>

#include "unit.h"

#include <atomic>
#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <stdexcept>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

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
    return sizeof(T) == sizeof(C) && std::is_standard_layout<T>::value &&
           alignof(T) == alignof(C) && std::is_trivially_destructible<T>::value &&
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

template <class T>
constexpr bool is_shared_timed_lockable()
{
    using steady = std::chrono::steady_clock::time_point;
    return is_timed_lockable<T>() &&
           std::is_void<decltype(std::declval<T &>().lock_shared())>::value &&
           std::is_void<decltype(std::declval<T &>().unlock_shared())>::value &&
           std::is_same<bool, decltype(std::declval<T &>().try_lock_shared())>::value &&
           std::is_same<bool, decltype(std::declval<T &>().try_lock_shared_for(1ms))>::value &&
           std::is_same<bool, decltype(std::declval<T &>().try_lock_shared_until(steady()))>::value;
}

/* As is_a_lock, of those that want a number. */
template <class T>
constexpr bool stays_where_it_is()
{
    return std::is_nothrow_destructible<T>::value && !std::is_copy_constructible<T>::value &&
           !std::is_copy_assignable<T>::value && !std::is_move_constructible<T>::value &&
           !std::is_move_assignable<T>::value;
}

static_assert(is_a_lock<latchwork::mutex>(), "Mutex");
static_assert(is_timed_lockable<latchwork::mutex>(), "TimedMutex");
static_assert(wraps<latchwork::mutex, lw_mutex_t>(), "layout");
static_assert(sizeof(latchwork::mutex) == 4, "four bytes");

static_assert(is_a_lock<latchwork::recursive_mutex>(), "Mutex");
static_assert(is_timed_lockable<latchwork::recursive_mutex>(), "TimedMutex");
static_assert(wraps<latchwork::recursive_mutex, lw_rmutex_t>(), "layout");
static_assert(sizeof(latchwork::recursive_mutex) == 16, "sixteen bytes");

static_assert(is_a_lock<latchwork::shared_mutex>(), "Mutex");
static_assert(is_shared_timed_lockable<latchwork::shared_mutex>(), "SharedTimedMutex");
static_assert(wraps<latchwork::shared_mutex, lw_rwlock_t>(), "layout");
static_assert(sizeof(latchwork::shared_mutex) == 4, "four bytes");

static_assert(is_a_lock<latchwork::shared_rwlock>(), "Mutex");
static_assert(is_shared_timed_lockable<latchwork::shared_rwlock>(), "SharedTimedMutex");
static_assert(wraps<latchwork::shared_rwlock, lw_shared_rwlock_t>(), "layout");
static_assert(sizeof(latchwork::shared_rwlock) == 4, "four bytes");

static_assert(is_a_lock<latchwork::condition_variable>(), "default constructible, stays");
static_assert(wraps<latchwork::condition_variable, lw_cond_t>(), "layout");
static_assert(is_a_lock<latchwork::event>(), "default constructible, stays");
static_assert(wraps<latchwork::event, lw_event_t>(), "layout");
static_assert(is_a_lock<latchwork::once_flag>(), "default constructible, stays");
static_assert(wraps<latchwork::once_flag, lw_once_t>(), "layout");
static_assert(stays_where_it_is<latchwork::latch>(), "not to be copied or moved");
static_assert(wraps<latchwork::latch, lw_latch_t>(), "layout");
static_assert(stays_where_it_is<latchwork::counting_semaphore>(), "not to be copied or moved");
static_assert(wraps<latchwork::counting_semaphore, lw_sem_t>(), "layout");
static_assert(stays_where_it_is<latchwork::barrier>(), "not to be copied or moved");
static_assert(wraps<latchwork::barrier, lw_barrier_t>(), "layout");
static_assert(latchwork::latch::max() == LW_LATCH_MAX, "max");
static_assert(latchwork::counting_semaphore::max() == LW_SEM_MAX, "max");
static_assert(!std::is_convertible<int, latchwork::latch>::value, "explicit");
static_assert(!std::is_convertible<int, latchwork::counting_semaphore>::value, "explicit");
static_assert(!std::is_convertible<int, latchwork::barrier>::value, "explicit");

/* Their ends may sleep, and a thread may end there. */
using one_section = latchwork::critical_section<1>;
static_assert(!std::is_copy_constructible<one_section>::value, "bound to its block");
static_assert(!std::is_move_constructible<one_section>::value, "bound to its block");
static_assert(!std::is_nothrow_destructible<one_section>::value, "may be left by unwinding");
static_assert(!std::is_nothrow_destructible<latchwork::critical_section<>>::value, "the same");
static_assert(!std::is_nothrow_destructible<lw_critical_guard_>::value, "the same, in the macros");
static_assert(!std::is_copy_constructible<latchwork::block_scope>::value, "bound to its block");
static_assert(!std::is_move_constructible<latchwork::block_scope>::value, "bound to its block");
static_assert(!std::is_nothrow_destructible<latchwork::block_scope>::value, "the same");

/* A constant, so that the initialisation has to be one. */
static constexpr latchwork::mutex constant_mutex;
static constexpr latchwork::recursive_mutex constant_recursive_mutex;
static constexpr latchwork::shared_mutex constant_shared_mutex;
static constexpr latchwork::shared_rwlock constant_shared_rwlock;
static constexpr latchwork::condition_variable constant_condition;
static constexpr latchwork::event constant_event;
static constexpr latchwork::once_flag constant_once;
#if defined(__cpp_constinit)
#define CONSTINIT constinit
#else
#define CONSTINIT
#endif
static CONSTINIT latchwork::mutex static_mutex;
static CONSTINIT latchwork::latch static_latch(1);
static CONSTINIT latchwork::counting_semaphore static_semaphore(2);
static CONSTINIT latchwork::barrier static_barrier(1);

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

/* Where no constructor has run and none can. */
TEST(constants_are_free)
{
    CHECK(!lw_rmutex_is_locked(
        const_cast<latchwork::recursive_mutex &>(constant_recursive_mutex).native_handle()));
    CHECK(!lw_rwlock_is_locked(
        const_cast<latchwork::shared_mutex &>(constant_shared_mutex).native_handle()));
    CHECK(!lw_shared_rwlock_is_write_locked(
        const_cast<latchwork::shared_rwlock &>(constant_shared_rwlock).native_handle()));
    CHECK(!const_cast<latchwork::condition_variable &>(constant_condition).notify_one());
    CHECK(!constant_event.is_set());
    CHECK(!constant_once.done());
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

/* ---- recursive_mutex ---- */

TEST(a_recursive_mutex_counts)
{
    latchwork::recursive_mutex m;
    {
        std::lock_guard<latchwork::recursive_mutex> outer(m);
        std::unique_lock<latchwork::recursive_mutex> inner(m, 1ms);
        CHECK(inner.owns_lock());
        CHECK(m.try_lock());
        CHECK(m.try_lock_until(std::chrono::system_clock::now()));
        CHECK_EQ(lw_rmutex_depth(m.native_handle()), 4);
        m.unlock();
        m.unlock();
        std::scoped_lock once_more(m);
        CHECK_EQ(lw_rmutex_depth(m.native_handle()), 3);
    }
    CHECK(!lw_rmutex_is_locked(m.native_handle()));
}

template <class Lock>
static void try_each_way(void *arg)
{
    Lock *lock = static_cast<Lock *>(arg);
    CHECK(!lock->try_lock());
    CHECK(!lock->try_lock_for(1ms));
    CHECK(!lock->try_lock_until(std::chrono::steady_clock::now() + 1ms));
}

TEST(a_recursive_mutex_excludes_others)
{
    latchwork::recursive_mutex m;
    m.lock();
    support_run(1, try_each_way<latchwork::recursive_mutex>, &m, sizeof m);
    m.unlock();
}

/* ---- shared_mutex, shared_rwlock ---- */

template <class Lock>
static void try_each_shared_way(void *arg)
{
    Lock *lock = static_cast<Lock *>(arg);
    CHECK(!lock->try_lock_shared());
    CHECK(!lock->try_lock_shared_for(1ms));
    CHECK(!lock->try_lock_shared_until(std::chrono::system_clock::now() + 1ms));
}

template <class Lock>
static void share_each_way(void *arg)
{
    Lock *lock = static_cast<Lock *>(arg);
    {
        std::shared_lock<Lock> shared(*lock);
        CHECK(shared.owns_lock());
    }
    CHECK(lock->try_lock_shared());
    lock->unlock_shared();
    CHECK(lock->try_lock_shared_for(1ms));
    lock->unlock_shared();
    CHECK(lock->try_lock_shared_until(std::chrono::steady_clock::time_point::min()));
    lock->unlock_shared();
}

template <class Lock>
static void shared_or_exclusive()
{
    Lock lock;
    {
        std::shared_lock<Lock> shared(lock);
        support_run(1, share_each_way<Lock>, &lock, sizeof lock);
        support_run(1, try_each_way<Lock>, &lock, sizeof lock);
    }
    {
        std::unique_lock<Lock> exclusive(lock, 1ms);
        CHECK(exclusive.owns_lock());
        support_run(1, try_each_way<Lock>, &lock, sizeof lock);
        support_run(1, try_each_shared_way<Lock>, &lock, sizeof lock);
    }
    std::shared_lock<Lock> timed(lock, std::chrono::steady_clock::now() + 1h);
    CHECK(timed.owns_lock());
    timed.unlock();
    std::scoped_lock exclusive(lock);
}

TEST(a_shared_mutex_is_shared_or_exclusive)
{
    shared_or_exclusive<latchwork::shared_mutex>();
}

TEST(a_shared_rwlock_is_shared_or_exclusive)
{
    shared_or_exclusive<latchwork::shared_rwlock>();
}

TEST(a_shared_mutex_changes_its_mode)
{
    latchwork::shared_mutex m;
    std::unique_lock<latchwork::shared_mutex> exclusive(m);
    exclusive.release()->downgrade();
    std::shared_lock<latchwork::shared_mutex> shared(m, std::adopt_lock);
    support_run(1, share_each_way<latchwork::shared_mutex>, &m, sizeof m);
    {
        std::shared_lock<latchwork::shared_mutex> other(m);
        CHECK(!m.try_upgrade());
    }
    CHECK(m.try_upgrade());
    (void)shared.release();
    exclusive = std::unique_lock<latchwork::shared_mutex>(m, std::adopt_lock);
    support_run(1, try_each_shared_way<latchwork::shared_mutex>, &m, sizeof m);
    exclusive.unlock();
    CHECK(!lw_rwlock_is_locked(m.native_handle()));
}

/* It would wait for itself: no limit is waited for, and none is spun through. */
TEST(a_shared_rwlock_does_not_wait_for_itself)
{
    latchwork::shared_rwlock lock;
    std::shared_lock<latchwork::shared_rwlock> shared(lock);
    CHECK(!lock.try_lock());
    CHECK(!lock.try_lock_for(std::chrono::hours::max()));
    CHECK(!lock.try_lock_until(std::chrono::steady_clock::time_point::max()));
}

/* ---- condition_variable ---- */

template <class Mutex>
struct meeting {
    Mutex mutex;
    latchwork::condition_variable condition;
    int value = 0;
};

template <class Mutex>
static void set_to_one(void *arg)
{
    meeting<Mutex> *m = static_cast<meeting<Mutex> *>(arg);
    std::lock_guard<Mutex> lock(m->mutex);
    m->value = 1;
    m->condition.notify_one();
}

template <class Mutex>
static void wait_in_each_way()
{
    for (int way = 0; way < 6; way++) {
        support_thread thread;
        meeting<Mutex> m;
        std::unique_lock<Mutex> lock(m.mutex);
        auto ready = [&] { return m.value == 1; };
        support_start(&thread, set_to_one<Mutex>, &m);
        switch (way) {
        case 0:
            m.condition.wait(lock); /* exact: there are no spurious wakes */
            break;
        case 1:
            m.condition.wait(lock, ready);
            break;
        case 2:
            CHECK(m.condition.wait_for(lock, 1h) == std::cv_status::no_timeout);
            break;
        case 3:
            CHECK(m.condition.wait_for(lock, std::chrono::hours::max(), ready));
            break;
        case 4:
            CHECK(m.condition.wait_until(lock, std::chrono::steady_clock::now() + 1h) ==
                  std::cv_status::no_timeout);
            break;
        default:
            CHECK(m.condition.wait_until(lock, std::chrono::system_clock::now() + 1h, ready));
            break;
        }
        CHECK(lock.owns_lock());
        CHECK_EQ(m.value, 1);
        support_join(&thread);
    }
}

TEST(a_condition_wakes_whoever_waits)
{
    wait_in_each_way<latchwork::mutex>();
}

TEST(a_condition_wakes_whoever_waits_with_a_recursive_mutex)
{
    wait_in_each_way<latchwork::recursive_mutex>();
}

TEST(a_condition_lets_go_of_all_levels)
{
    support_thread thread;
    meeting<latchwork::recursive_mutex> m;
    std::lock_guard<latchwork::recursive_mutex> outer(m.mutex);
    std::unique_lock<latchwork::recursive_mutex> inner(m.mutex);
    support_start(&thread, set_to_one<latchwork::recursive_mutex>, &m);
    m.condition.wait(inner, [&] { return m.value == 1; });
    CHECK_EQ(lw_rmutex_depth(m.mutex.native_handle()), 2);
    support_join(&thread);
}

TEST(a_condition_has_limits)
{
    meeting<latchwork::mutex> m;
    std::unique_lock<latchwork::mutex> lock(m.mutex);
    auto never = [] { return false; };
    auto begin = std::chrono::steady_clock::now();
    CHECK(m.condition.wait_for(lock, 0s) == std::cv_status::timeout);
    CHECK(m.condition.wait_for(lock, 2ms) == std::cv_status::timeout);
    CHECK(!m.condition.wait_for(lock, 2ms, never));
    CHECK(m.condition.wait_until(lock, begin) == std::cv_status::timeout);
    CHECK(!m.condition.wait_until(lock, std::chrono::steady_clock::now() + 2ms, never));
    CHECK(std::chrono::steady_clock::now() - begin >= 6ms);
    CHECK(m.condition.wait_for(lock, 0s, [] { return true; }));
    CHECK(lock.owns_lock() && lw_mutex_is_locked(m.mutex.native_handle()));
}

struct falling_clock {
    using duration = std::chrono::milliseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<falling_clock>;
    static constexpr bool is_steady = false;
    static time_point now()
    {
        static int calls;
        return time_point(calls++ == 0 ? 99ms : calls < 4 ? 0ms : 200ms);
    }
};

/* A clock that is set back while the wait sleeps: a look at the predicate, and not a second sleep
 * that a notification from in between would not end. */
TEST(a_condition_looks_again_when_the_clock_was_set_back)
{
    meeting<latchwork::mutex> m;
    std::unique_lock<latchwork::mutex> lock(m.mutex);
    int looks = 0;
    CHECK(m.condition.wait_until(lock, falling_clock::time_point(100ms),
                                 [&] { return ++looks == 2; }));
    CHECK_EQ(looks, 2);
}

TEST(a_condition_says_whom_it_woke)
{
    support_thread thread;
    meeting<latchwork::mutex> m;
    CHECK(!m.condition.notify_one());
    CHECK_EQ(m.condition.notify_all(), 0);
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<meeting<latchwork::mutex> *>(arg);
            std::unique_lock<latchwork::mutex> lock(in->mutex);
            in->condition.wait(lock);
        },
        &m);
    support_await_waiters(lw_cond_address_(m.condition.native_handle()), 1);
    CHECK_EQ(m.condition.notify_all(), 1);
    support_join(&thread);
}

/* ---- critical sections ---- */

static bool is_free(latchwork::mutex &m)
{
    return !lw_mutex_is_locked(m.native_handle());
}

TEST(a_section_of_any_number)
{
    latchwork::mutex a, b, c;
    lw_mutex_t d = LW_MUTEX_INIT;
    {
        latchwork::critical_section section(a);
        static_assert(std::is_same<decltype(section), latchwork::critical_section<1>>::value, "1");
        CHECK(!is_free(a) && is_free(b));
    }
    {
        latchwork::critical_section section(b, a);
        CHECK(!is_free(a) && !is_free(b));
        latchwork::critical_section same(a, a);
    }
    {
        latchwork::critical_section section(c, a, d, b, a);
        CHECK(!is_free(a) && !is_free(b) && !is_free(c) && lw_mutex_is_locked(&d));
    }
    {
        lw_mutex_t *set[] = {c.native_handle(), &d, c.native_handle(), a.native_handle()};
        latchwork::critical_section section(set, 4);
        static_assert(std::is_same<decltype(section), latchwork::critical_section<>>::value, "n");
        CHECK(!is_free(a) && is_free(b) && !is_free(c) && lw_mutex_is_locked(&d));
    }
    CHECK(is_free(a) && is_free(b) && is_free(c) && !lw_mutex_is_locked(&d));
}

/* The longest way out: through each form, nested. */
TEST(an_exception_ends_sections)
{
    latchwork::mutex a, b, c, d;
    lw_mutex_t *set[] = {c.native_handle(), d.native_handle(), a.native_handle()};
    bool caught = false;
    try {
        LW_CRITICAL_BEGIN(a.native_handle())
        {
            LW_CRITICAL_BEGIN2(a.native_handle(), b.native_handle())
            {
                LW_CRITICAL_BEGIN_N(set, 3)
                {
                    latchwork::critical_section section(d, b);
                    CHECK(!is_free(a) && !is_free(b) && !is_free(c) && !is_free(d));
                    throw std::runtime_error("out");
                }
                LW_CRITICAL_END();
            }
            LW_CRITICAL_END();
        }
        LW_CRITICAL_END();
    } catch (const std::runtime_error &) {
        caught = true;
    }
    CHECK(caught);
    CHECK(is_free(a) && is_free(b) && is_free(c) && is_free(d));
    latchwork::critical_section again(a); /* the list is empty again */
}

static bool leave_by_return(latchwork::mutex &m)
{
    LW_CRITICAL_BEGIN(m.native_handle())
    {
        return lw_critical_holds(m.native_handle());
    }
    LW_CRITICAL_END();
}

TEST(jumps_within_the_function_end_sections)
{
    latchwork::mutex a;
    CHECK(leave_by_return(a));
    CHECK(is_free(a));
    for (int i = 0; i < 3; i++) {
        LW_CRITICAL_BEGIN(a.native_handle())
        {
            if (i == 0) {
                continue;
            }
            break;
        }
        LW_CRITICAL_END();
    }
    CHECK(is_free(a));
}

struct sleeper {
    latchwork::mutex a, b, c;
    latchwork::event event;
    std::atomic<int> passed{0};
};

TEST(a_section_is_suspended_in_a_wait)
{
    support_thread thread;
    sleeper s;
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<sleeper *>(arg);
            latchwork::critical_section section(in->a);
            in->event.wait();
            CHECK(lw_critical_holds(in->a.native_handle()));
        },
        &s);
    support_await_waiters(lw_park_beside_(s.event.native_handle()), 1);
    s.a.lock(); /* it is in the queue, and lets go of it in a moment */
    s.a.unlock();
    s.event.set();
    support_join(&thread);
    CHECK(is_free(s.a));
}

TEST(a_block_suspends_sections)
{
    latchwork::mutex a;
    latchwork::critical_section section(a);
    try {
        latchwork::block_scope block;
        CHECK(is_free(a));
        throw 1;
    } catch (int) {
        CHECK(!is_free(a));
    }
}

/* ---- a thread that ends in a wait, which unwinds its stack ---- */

/* Whether this thread ends when it attaches again; one that has ended is not attached any more. */
static thread_local bool attached;

static void *host_before()
{
    return attached ? &attached : nullptr;
}

static void host_after(void *)
{
    attached = false;
    pthread_exit(nullptr);
}

static void threads_end_when_they_attach()
{
    static const lw_block_hooks hooks = {host_before, host_after};
#if !defined(__GLIBC__)
    support_skip("a thread that ends does not unwind its stack here");
#endif
    lw_domain_set_block_hooks(&hooks);
}

struct last_words {
    std::atomic<int> &passed;
    latchwork::mutex *held;
    ~last_words()
    {
        passed++;
        CHECK(held == nullptr || lw_mutex_is_locked(held->native_handle()));
    }
};

TEST(who_ends_in_a_condition_has_its_guards_unlock)
{
    threads_end_when_they_attach();
    struct place : sleeper {
        latchwork::condition_variable condition;
    };
    support_thread thread;
    place p;
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<place *>(arg);
            attached = true;
            std::unique_lock<latchwork::mutex> lock(in->a);
            last_words last{in->passed, &in->a};
            in->condition.wait(lock);
            in->passed += 100;
        },
        &p);
    support_await_waiters(lw_cond_address_(p.condition.native_handle()), 1);
    {
        std::lock_guard<latchwork::mutex> lock(p.a);
        CHECK(p.condition.notify_one());
        support_await_waiters(p.a.native_handle(), 1); /* it wants it back, to end with */
    }
    support_join(&thread);
    CHECK_EQ(p.passed, 1);
    CHECK(is_free(p.a));
}

TEST(who_ends_in_a_condition_has_all_levels_again)
{
    threads_end_when_they_attach();
    struct place : meeting<latchwork::recursive_mutex> {
        std::atomic<int> passed{0};
    };
    support_thread thread;
    place p;
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<place *>(arg);
            attached = true;
            std::lock_guard<latchwork::recursive_mutex> outer(in->mutex);
            last_words last{in->passed, nullptr};
            std::unique_lock<latchwork::recursive_mutex> inner(in->mutex);
            in->condition.wait(inner);
            in->passed += 100;
        },
        &p);
    support_await_waiters(lw_cond_address_(p.condition.native_handle()), 1);
    CHECK(p.condition.notify_one());
    support_join(&thread);
    CHECK_EQ(p.passed, 1);
    CHECK(!lw_rmutex_is_locked(p.mutex.native_handle()));
}

/* What a section had let go of for the wait may be another's when the thread ends. */
TEST(who_ends_in_a_wait_of_a_section_unlocks_nothing)
{
    threads_end_when_they_attach();
    support_thread thread;
    sleeper s;
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<sleeper *>(arg);
            attached = true;
            last_words last{in->passed, nullptr};
            latchwork::critical_section section(in->a);
            in->event.wait();
            in->passed += 100;
        },
        &s);
    support_await_waiters(lw_park_beside_(s.event.native_handle()), 1);
    s.a.lock();
    s.event.set();
    support_join(&thread);
    CHECK_EQ(s.passed, 1);
    CHECK(!is_free(s.a));
    s.a.unlock();
}

/* The same, of two mutexes, and inside of another section: the outer one is resumed for what the
 * unwinding does in it. */
TEST(who_ends_in_a_wait_of_nested_sections_unlocks_nothing)
{
    threads_end_when_they_attach();
    support_thread thread;
    sleeper s;
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<sleeper *>(arg);
            attached = true;
            LW_CRITICAL_BEGIN(in->c.native_handle())
            {
                last_words last{in->passed, &in->c};
                LW_CRITICAL_BEGIN2(in->a.native_handle(), in->b.native_handle())
                {
                    in->event.wait();
                    in->passed += 100;
                }
                LW_CRITICAL_END();
            }
            LW_CRITICAL_END();
        },
        &s);
    support_await_waiters(lw_park_beside_(s.event.native_handle()), 1);
    s.a.lock();
    s.b.lock();
    s.event.set();
    support_join(&thread);
    CHECK_EQ(s.passed, 1);
    CHECK(!is_free(s.a) && !is_free(s.b) && is_free(s.c));
    s.a.unlock();
    s.b.unlock();
}

/* There is no section yet, which the guard of the macro has to know. */
TEST(who_ends_in_the_beginning_of_a_section_has_none)
{
    threads_end_when_they_attach();
    support_thread thread;
    sleeper s;
    s.c.lock();
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<sleeper *>(arg);
            attached = true;
            last_words last{in->passed, nullptr};
            LW_CRITICAL_BEGIN2(in->a.native_handle(), in->b.native_handle())
            {
                LW_CRITICAL_BEGIN(in->c.native_handle())
                {
                    in->passed += 100;
                }
                LW_CRITICAL_END();
            }
            LW_CRITICAL_END();
        },
        &s);
    support_await_waiters(s.c.native_handle(), 1);
    CHECK(is_free(s.a) && is_free(s.b));
    s.c.unlock();
    support_join(&thread);
    CHECK_EQ(s.passed, 1);
    CHECK(is_free(s.a) && is_free(s.b) && is_free(s.c));
}

/* c, the last in the order of the addresses, is what it waits for when it has the others. */
TEST(who_ends_with_some_of_a_section_lets_go_of_them)
{
    threads_end_when_they_attach();
    support_thread thread;
    sleeper s;
    s.c.lock();
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<sleeper *>(arg);
            attached = true;
            last_words last{in->passed, nullptr};
            latchwork::critical_section section(in->c, in->b, in->a);
            in->passed += 100;
        },
        &s);
    support_await_waiters(s.c.native_handle(), 1);
    CHECK(!is_free(s.a) && !is_free(s.b));
    s.c.unlock();
    support_join(&thread);
    CHECK_EQ(s.passed, 1);
    CHECK(is_free(s.a) && is_free(s.b) && is_free(s.c));
}

/* The end of the inner section waits for the outer one's mutex, in a destructor. */
TEST(who_ends_at_the_end_of_a_section)
{
    threads_end_when_they_attach();
    support_thread thread;
    sleeper s;
    s.b.lock();
    support_start(
        &thread,
        [](void *arg) {
            auto *in = static_cast<sleeper *>(arg);
            last_words last{in->passed, nullptr};
            latchwork::critical_section outer(in->a);
            {
                latchwork::critical_section inner(in->b);
                attached = true; /* so it does not end in the wait for this one */
                in->passed += 10;
            }
            in->passed += 100;
        },
        &s);
    support_await_waiters(s.b.native_handle(), 1);
    s.a.lock();
    s.b.unlock();
    support_await_waiters(s.a.native_handle(), 1);
    s.a.unlock();
    support_join(&thread);
    CHECK_EQ(s.passed, 11);
    CHECK(is_free(s.a) && is_free(s.b));
}

TEST(who_ends_at_the_end_of_a_block)
{
    threads_end_when_they_attach();
    sleeper s;
    support_run(
        1,
        [](void *arg) {
            auto *in = static_cast<sleeper *>(arg);
            attached = true;
            last_words last{in->passed, nullptr};
            std::lock_guard<latchwork::mutex> lock(in->a);
            {
                latchwork::block_scope block;
                in->passed += 10;
            }
            in->passed += 100;
        },
        &s, sizeof s);
    CHECK_EQ(s.passed, 11);
    CHECK(is_free(s.a));
}

/* ---- once_flag ---- */

TEST(what_is_done_once)
{
    latchwork::once_flag flag;
    int runs = 0;
    CHECK(!flag.done());
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(latchwork::call_once(
                     flag, [](int &n, int by) { return n += by; }, runs, 5),
                 LW_OK);
        CHECK(flag.done());
    }
    CHECK_EQ(runs, 5);
}

TEST(what_throws_is_not_done)
{
    latchwork::once_flag flag;
    int caught = 0;
    for (int i = 0; i < 2; i++) {
        try {
            (void)latchwork::call_once(flag, [] { throw std::runtime_error("not yet"); });
        } catch (const std::runtime_error &) {
            caught++;
        }
        CHECK(!flag.done());
    }
    CHECK_EQ(caught, 2);
    CHECK_EQ(latchwork::call_once(flag, [] {}), LW_OK);
    CHECK(flag.done());
}

struct once_race {
    latchwork::once_flag flag;
    std::atomic<int> tries{0};
    int value = 0;
};

static void race_to_it(void *arg)
{
    once_race *race = static_cast<once_race *>(arg);
    for (;;) {
        try {
            CHECK_EQ(latchwork::call_once(race->flag,
                                          [&] {
                                              if (race->tries++ < 3) {
                                                  throw 1;
                                              }
                                              race->value++;
                                          }),
                     LW_OK);
            CHECK_EQ(race->value, 1);
            return;
        } catch (int) {
            continue;
        }
    }
}

TEST(who_waits_for_what_throws_tries_itself)
{
    support_thread threads[4];
    once_race race;
    for (support_thread &thread : threads) {
        support_start(&thread, race_to_it, &race);
    }
    for (support_thread &thread : threads) {
        support_join(&thread);
    }
    CHECK_EQ(race.tries, 4);
    CHECK_EQ(race.value, 1);
}

TEST(a_call_inside_of_its_own_run_is_told_so)
{
    latchwork::once_flag flag;
    lw_status inner = LW_OK;
    CHECK_EQ(
        latchwork::call_once(flag, [&] { inner = latchwork::call_once(flag, [] { abort(); }); }),
        LW_OK);
    CHECK_EQ(inner, LW_BUSY);
    CHECK(flag.done());
}

struct counts_calls {
    int calls = 0;
    void call(std::unique_ptr<int> by)
    {
        calls += *by;
    }
};

TEST(what_is_called_may_be_a_member_and_arguments_are_forwarded)
{
    latchwork::once_flag flag;
    counts_calls object;
    CHECK_EQ(latchwork::call_once(flag, &counts_calls::call, object, std::make_unique<int>(3)),
             LW_OK);
    CHECK_EQ(object.calls, 3);
}

TEST(who_ends_in_a_run_has_failed)
{
    threads_end_when_they_attach();
    latchwork::once_flag flag;
    support_run(
        1,
        [](void *arg) {
            (void)latchwork::call_once(*static_cast<latchwork::once_flag *>(arg),
                                       [] { pthread_exit(nullptr); });
        },
        &flag, sizeof flag);
    CHECK(!flag.done());
    CHECK_EQ(latchwork::call_once(flag, [] {}), LW_OK);
}

/* ---- event ---- */

TEST(an_event)
{
    support_thread thread;
    latchwork::event event;
    CHECK(!event.is_set());
    CHECK(!event.wait_for(1ms));
    CHECK(!event.wait_until(std::chrono::steady_clock::now() + 1ms));
    support_start(
        &thread, [](void *arg) { static_cast<latchwork::event *>(arg)->wait(); }, &event);
    support_await_waiters(lw_park_beside_(event.native_handle()), 1);
    event.set();
    support_join(&thread);
    CHECK(event.is_set());
    event.wait();
    CHECK(event.wait_for(-1s));
    CHECK(event.wait_until(std::chrono::system_clock::time_point::min()));
    event.reset();
    CHECK(!event.is_set());
}

static void set_it(void *arg)
{
    static_cast<std::atomic<latchwork::event *> *>(arg)->load()->set();
}

/* In the waiter's frame, as soon as the wait has returned. */
TEST(an_event_may_be_destroyed_by_who_waited)
{
    for (int i = 0; i < 200; i++) {
        support_thread thread;
        auto event = std::make_unique<latchwork::event>();
        std::atomic<latchwork::event *> shared{event.get()};
        support_start(&thread, set_it, &shared);
        event->wait();
        event.reset();
        support_join(&thread);
    }
}

/* ---- latch ---- */

struct latched {
    latchwork::latch latch{3};
    std::atomic<int> arrived{0};
};

static void arrive_at(void *arg)
{
    latched *l = static_cast<latched *>(arg);
    l->arrived++;
    l->latch.arrive_and_wait();
    CHECK_EQ(l->arrived, 3);
}

TEST(a_latch)
{
    support_thread threads[2];
    latched l;
    const latchwork::latch &looked_at = l.latch;
    CHECK(!looked_at.try_wait());
    CHECK(!looked_at.wait_for(1ms));
    CHECK(!looked_at.wait_until(std::chrono::steady_clock::now() + 1ms));
    l.latch.count_down(0);
    for (support_thread &thread : threads) {
        support_start(&thread, arrive_at, &l);
    }
    arrive_at(&l);
    for (support_thread &thread : threads) {
        support_join(&thread);
    }
    CHECK(looked_at.try_wait());
    looked_at.wait();
    CHECK(looked_at.wait_for(0s));
}

TEST(a_latch_is_counted_down_by_many)
{
    latchwork::latch latch(latchwork::latch::max()), open(0);
    CHECK(open.try_wait());
    open.arrive_and_wait(0);
    latch.count_down(latchwork::latch::max() - 5);
    CHECK_EQ(lw_latch_count(latch.native_handle()), 5);
    latch.arrive_and_wait(5);
    CHECK(latch.try_wait());
    static_latch.count_down();
    CHECK(static_latch.try_wait());
}

/* ---- counting_semaphore ---- */

TEST(a_semaphore)
{
    support_thread thread;
    CHECK(static_semaphore.try_acquire());
    static_semaphore.acquire();
    CHECK(!static_semaphore.try_acquire());
    CHECK(!static_semaphore.try_acquire_for(1ms));
    CHECK(!static_semaphore.try_acquire_until(std::chrono::system_clock::now() + 1ms));
    support_start(
        &thread, [](void *) { static_semaphore.acquire(); }, nullptr);
    support_await_waiters(static_semaphore.native_handle(), 1);
    CHECK(static_semaphore.release());
    support_join(&thread);
    CHECK(static_semaphore.release(3));
    CHECK(static_semaphore.try_acquire_for(std::chrono::hours::max()));
    CHECK(static_semaphore.try_acquire_until(std::chrono::steady_clock::time_point::min()));
    CHECK_EQ(lw_sem_value(static_semaphore.native_handle()), 1);
}

TEST(a_semaphore_refuses_what_it_cannot_hold)
{
    latchwork::counting_semaphore full(latchwork::counting_semaphore::max());
    CHECK(!full.release());
    CHECK(!full.release(-1));
    CHECK(!full.release(PTRDIFF_MAX));
    CHECK(full.release(0));
    full.acquire();
    CHECK(full.release());
}

/* ---- barrier ---- */

struct at_barrier {
    latchwork::barrier barrier{3};
    std::atomic<unsigned> seen{0};
};

static void arrive_three_times(void *arg)
{
    at_barrier *b = static_cast<at_barrier *>(arg);
    uint32_t index = 0;
    CHECK_EQ(b->barrier.arrive_and_wait(&index), LW_OK);
    b->seen |= 1u << index;
    CHECK_EQ(b->barrier.arrive_and_wait_for(1h, &index), LW_OK);
    b->seen |= 8u << index;
    CHECK_EQ(b->barrier.arrive_and_wait_until(std::chrono::steady_clock::now() + 1h, &index),
             LW_OK);
    b->seen |= 64u << index;
}

TEST(a_barrier)
{
    support_thread threads[2];
    at_barrier b;
    for (support_thread &thread : threads) {
        support_start(&thread, arrive_three_times, &b);
    }
    arrive_three_times(&b);
    for (support_thread &thread : threads) {
        support_join(&thread);
    }
    CHECK_EQ(b.seen, 0x1ff);
    CHECK_EQ(static_barrier.arrive_and_wait(), LW_OK);
}

static void arrive_at_a_broken_one(void *arg)
{
    CHECK_EQ(static_cast<latchwork::barrier *>(arg)->arrive_and_wait(), LW_BROKEN);
}

TEST(a_barrier_breaks)
{
    support_thread thread;
    latchwork::barrier barrier(2);
    CHECK_EQ(barrier.arrive_and_wait_for(1ms), LW_TIMEOUT);
    CHECK(barrier.broken());
    CHECK_EQ(barrier.arrive_and_wait(), LW_BROKEN);
    barrier.reset();
    CHECK(!barrier.broken());
    CHECK_EQ(barrier.arrive_and_wait_until(std::chrono::system_clock::time_point::min()),
             LW_TIMEOUT);
    barrier.reset();
    support_start(&thread, arrive_at_a_broken_one, &barrier);
    support_await_waiters(lw_park_beside_(barrier.native_handle()), 1);
    barrier.abort();
    support_join(&thread);
    CHECK(barrier.broken());
}

/* ---- misuse ---- */

static void expect_message(void (*fn)(void *arg), const char *message)
{
    char output[512];
    int status = support_fork(fn, nullptr, output, sizeof output);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(output, message) != nullptr);
}

TEST(misuse_ends_the_process)
{
    expect_message([](void *) { latchwork::latch latch(-1); }, "lw_latch_init");
    expect_message(
        [](void *) { latchwork::latch latch(latchwork::latch::max() + std::ptrdiff_t(1)); },
        "lw_latch_init");
    expect_message([](void *) { latchwork::latch(2).count_down(3); }, "lw_latch_count_down");
    expect_message([](void *) { latchwork::latch(2).count_down(-1); }, "lw_latch_count_down");
    expect_message([](void *) { latchwork::latch(2).arrive_and_wait(-1); }, "lw_latch_count_down");
    expect_message([](void *) { latchwork::counting_semaphore semaphore(-1); }, "lw_sem_init");
    expect_message([](void *) { (void)latchwork::barrier(0).arrive_and_wait(); }, "lw_barrier");
    expect_message([](void *) { (void)latchwork::barrier(-2).arrive_and_wait(); }, "lw_barrier");
    expect_message([](void *) { latchwork::recursive_mutex().unlock(); }, "lw_rmutex_unlock");
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
