// SPDX-License-Identifier: BSD-2-Clause
// The library in C++17: thin classes over the C headers, which have the contracts (progress, memory
// order, attach states). A lock's class is the C object and nothing else, so that the C and the C++
// parts of a program may share it (native_handle), and it has the members of the standard library's
// class of that name, so that std::lock_guard and its kin take it.
//
// Nothing here throws but `new`; -fno-exceptions and -fno-rtti are fine. What may sleep is not
// noexcept all the same, a destructor neither: a host may end the thread when it attaches again
// (domain.h, block hooks), glibc does that by unwinding, and an unwinding that meets noexcept ends
// the process. So does one that begins in a destructor which another unwinding runs: this concerns
// critical_section and block_scope. With -fno-exceptions no destructor runs when a thread ends.
//
// longjmp must not leave the block of any object that unlocks, ends or aborts in its destructor;
// C++ does not define what happens then, and nothing here notices it.
//
// One section for each header. Waits with a limit come from detail::timeout_ns and
// detail::wait_until.
#ifndef LATCHWORK_LATCHWORK_HPP
#define LATCHWORK_LATCHWORK_HPP

#include <latchwork/latchwork.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <type_traits>
#include <utility>

namespace latchwork {

namespace detail {

// What the C functions want of a duration: nanoseconds, rounded up, so that no wait ends before its
// time; 0 for those that are over; -1, no limit, for those that no int64_t holds (292 years).
template <class Rep, class Period>
std::int64_t timeout_ns(const std::chrono::duration<Rep, Period> &timeout)
{
    using given = std::chrono::duration<Rep, Period>;
    using std::chrono::duration_cast;
    using std::chrono::nanoseconds;
    if (!(timeout > given::zero())) {
        return 0;
    }
    // As a double, for the conversion itself may overflow.
    if (duration_cast<std::chrono::duration<double>>(timeout).count() >= 9.2e9) {
        return -1;
    }
    nanoseconds ns = duration_cast<nanoseconds>(timeout);
    if (duration_cast<given>(ns) < timeout) {
        ++ns;
    }
    return ns.count();
}

// Calls wait(timeout_ns) until it returns true or the clock has reached `deadline`; once at least.
// In a loop, since a clock may be set while the wait sleeps.
template <class Clock, class Duration, class Wait>
bool wait_until(const std::chrono::time_point<Clock, Duration> &deadline, Wait wait)
{
    for (;;) {
        const auto now = Clock::now();
        if (!(now < deadline)) {
            return wait(std::int64_t{0});
        }
        if (wait(timeout_ns(deadline - now))) {
            return true;
        }
    }
}

} // namespace detail

// ---- mutex.h ----

// As std::timed_mutex, in four bytes, and without a destructor that does anything. Constant
// initialisation: a static one is usable before any constructor runs. The memory may be freed by
// whoever locks next.
class mutex {
  public:
    constexpr mutex() noexcept = default;
    mutex(const mutex &) = delete;
    mutex &operator=(const mutex &) = delete;

    void lock()
    {
        lw_mutex_lock(&mutex_);
    }

    bool try_lock() noexcept
    {
        return lw_mutex_trylock(&mutex_);
    }

    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return lw_mutex_lock_for(&mutex_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::wait_until(deadline, [this](std::int64_t timeout_ns) {
            return lw_mutex_lock_for(&mutex_, timeout_ns) == LW_OK;
        });
    }

    void unlock() noexcept
    {
        lw_mutex_unlock(&mutex_);
    }

    using native_handle_type = lw_mutex_t *;

    native_handle_type native_handle() noexcept
    {
        return &mutex_;
    }

  private:
    lw_mutex_t mutex_ = LW_MUTEX_INIT;
};

// ---- rmutex.h ----

// As std::recursive_timed_mutex, in sixteen bytes. The initialisation is as that of mutex.
class recursive_mutex {
  public:
    constexpr recursive_mutex() noexcept = default;
    recursive_mutex(const recursive_mutex &) = delete;
    recursive_mutex &operator=(const recursive_mutex &) = delete;

    void lock()
    {
        lw_rmutex_lock(&mutex_);
    }

    bool try_lock() noexcept
    {
        return lw_rmutex_trylock(&mutex_);
    }

    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return lw_rmutex_lock_for(&mutex_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::wait_until(deadline, [this](std::int64_t timeout_ns) {
            return lw_rmutex_lock_for(&mutex_, timeout_ns) == LW_OK;
        });
    }

    void unlock() noexcept
    {
        lw_rmutex_unlock(&mutex_);
    }

    using native_handle_type = lw_rmutex_t *;

    native_handle_type native_handle() noexcept
    {
        return &mutex_;
    }

  private:
    lw_rmutex_t mutex_ = LW_RMUTEX_INIT;
};

// ---- rwlock.h ----

// As std::shared_timed_mutex, in four bytes. Not recursive, for readers neither.
class shared_mutex {
  public:
    constexpr shared_mutex() noexcept = default;
    shared_mutex(const shared_mutex &) = delete;
    shared_mutex &operator=(const shared_mutex &) = delete;

    void lock()
    {
        lw_rwlock_write_lock(&lock_);
    }

    bool try_lock() noexcept
    {
        return lw_rwlock_write_trylock(&lock_);
    }

    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return lw_rwlock_write_lock_for(&lock_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::wait_until(deadline, [this](std::int64_t timeout_ns) {
            return lw_rwlock_write_lock_for(&lock_, timeout_ns) == LW_OK;
        });
    }

    void unlock() noexcept
    {
        lw_rwlock_write_unlock(&lock_);
    }

    void lock_shared()
    {
        lw_rwlock_read_lock(&lock_);
    }

    bool try_lock_shared() noexcept
    {
        return lw_rwlock_read_trylock(&lock_);
    }

    template <class Rep, class Period>
    bool try_lock_shared_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return lw_rwlock_read_lock_for(&lock_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::wait_until(deadline, [this](std::int64_t timeout_ns) {
            return lw_rwlock_read_lock_for(&lock_, timeout_ns) == LW_OK;
        });
    }

    void unlock_shared() noexcept
    {
        lw_rwlock_read_unlock(&lock_);
    }

    // Makes the caller's exclusive lock a shared one, with no other writer in between. Guards do
    // not notice: release() the one, and make the other with std::adopt_lock.
    void downgrade() noexcept
    {
        lw_rwlock_downgrade(&lock_);
    }

    // Makes the caller's shared lock the exclusive one, if nobody else has or wants it; else false,
    // and the caller keeps its shared lock. Guards as with downgrade.
    [[nodiscard]] bool try_upgrade() noexcept
    {
        return lw_rwlock_try_upgrade(&lock_);
    }

    using native_handle_type = lw_rwlock_t *;

    native_handle_type native_handle() noexcept
    {
        return &lock_;
    }

  private:
    lw_rwlock_t lock_ = LW_RWLOCK_INIT;
};

// ---- shared_rwlock.h ----

// As shared_mutex, for much reading and little writing. Shared locks belong to their threads. A
// thread that wants the exclusive lock while it has a shared one would wait for itself: lock ends
// the process with a message, and the other forms say false, at once.
class shared_rwlock {
  public:
    constexpr shared_rwlock() noexcept = default;
    shared_rwlock(const shared_rwlock &) = delete;
    shared_rwlock &operator=(const shared_rwlock &) = delete;

    void lock()
    {
        lw_shared_rwlock_write_lock(&lock_);
    }

    bool try_lock() noexcept
    {
        return lw_shared_rwlock_write_trylock(&lock_);
    }

    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return lw_shared_rwlock_write_lock_for(&lock_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        lw_status status = LW_TIMEOUT;
        (void)detail::wait_until(deadline, [&](std::int64_t timeout_ns) {
            status = lw_shared_rwlock_write_lock_for(&lock_, timeout_ns);
            return status != LW_TIMEOUT;
        });
        return status == LW_OK;
    }

    void unlock() noexcept
    {
        lw_shared_rwlock_write_unlock(&lock_);
    }

    void lock_shared()
    {
        lw_shared_rwlock_read_lock(&lock_);
    }

    bool try_lock_shared() noexcept
    {
        return lw_shared_rwlock_read_trylock(&lock_);
    }

    template <class Rep, class Period>
    bool try_lock_shared_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return lw_shared_rwlock_read_lock_for(&lock_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::wait_until(deadline, [this](std::int64_t timeout_ns) {
            return lw_shared_rwlock_read_lock_for(&lock_, timeout_ns) == LW_OK;
        });
    }

    void unlock_shared() noexcept
    {
        lw_shared_rwlock_read_unlock(&lock_);
    }

    using native_handle_type = lw_shared_rwlock_t *;

    native_handle_type native_handle() noexcept
    {
        return &lock_;
    }

  private:
    lw_shared_rwlock_t lock_ = LW_SHARED_RWLOCK_INIT;
};

// ---- cond.h ----

namespace detail {

inline lw_status cond_wait(lw_cond_t *cond, mutex &m, std::int64_t timeout_ns)
{
    return lw_cond_wait_for(cond, m.native_handle(), timeout_ns);
}

inline lw_status cond_wait(lw_cond_t *cond, recursive_mutex &m, std::int64_t timeout_ns)
{
    return lw_cond_wait_rmutex_for(cond, m.native_handle(), timeout_ns);
}

// Locks what a wait has let go of if the thread ends in it, as pthread_cond_wait does: guards are
// about to unlock. Without the hooks, for the thread is not attached.
class relock {
  public:
    explicit relock(mutex &m) noexcept : mutex_(m.native_handle()) {}

    explicit relock(recursive_mutex &m) noexcept
        : rmutex_(m.native_handle()), depth_(lw_rmutex_depth(m.native_handle()))
    {
    }

    relock(const relock &) = delete;
    relock &operator=(const relock &) = delete;

    ~relock()
    {
        if (returned) {
            return;
        }
        if (rmutex_ != nullptr) {
            lw_rmutex_restore(rmutex_, depth_, LW_WAIT_ATTACHED);
        } else {
            (void)!lw_mutex_lock_flags(mutex_, -1, LW_WAIT_ATTACHED);
        }
    }

    bool returned = false;

  private:
    lw_mutex_t *mutex_ = nullptr;
    lw_rmutex_t *rmutex_ = nullptr;
    std::uint32_t depth_ = 0;
};

} // namespace detail

// As std::condition_variable, in four bytes, for mutex and recursive_mutex: a wait lets go of all
// levels of the latter. A wait returns with the mutex locked; if the thread ends in it, it is
// locked again before any destructor runs. The memory may be freed by whoever the last notification
// has woken (cond.h).
class condition_variable {
  public:
    constexpr condition_variable() noexcept = default;
    condition_variable(const condition_variable &) = delete;
    condition_variable &operator=(const condition_variable &) = delete;

    // Returns true if there was one to wake.
    bool notify_one() noexcept
    {
        return lw_cond_notify_one(&cond_);
    }

    // Returns how many were woken.
    std::size_t notify_all() noexcept
    {
        return lw_cond_notify_all(&cond_);
    }

    template <class Mutex>
    void wait(std::unique_lock<Mutex> &lock)
    {
        (void)wait_ns(lock, -1);
    }

    template <class Mutex, class Predicate>
    void wait(std::unique_lock<Mutex> &lock, Predicate predicate)
    {
        while (!predicate()) {
            wait(lock);
        }
    }

    template <class Mutex, class Rep, class Period>
    std::cv_status wait_for(std::unique_lock<Mutex> &lock,
                            const std::chrono::duration<Rep, Period> &timeout)
    {
        return wait_ns(lock, detail::timeout_ns(timeout));
    }

    template <class Mutex, class Rep, class Period, class Predicate>
    bool wait_for(std::unique_lock<Mutex> &lock, const std::chrono::duration<Rep, Period> &timeout,
                  Predicate predicate)
    {
        using std::chrono::steady_clock;
        const std::int64_t limit_ns = detail::timeout_ns(timeout);
        const steady_clock::time_point begin = steady_clock::now();
        std::int64_t left_ns = limit_ns;
        while (!predicate()) {
            if (wait_ns(lock, left_ns) == std::cv_status::timeout) {
                return predicate();
            }
            if (limit_ns >= 0) {
                const std::int64_t passed_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                   steady_clock::now() - begin)
                                                   .count();
                left_ns = passed_ns < limit_ns ? limit_ns - passed_ns : 0;
            }
        }
        return true;
    }

    // Where the clock is set back during the wait, no_timeout though nobody has notified: one that
    // came while the mutex was being locked again must not be slept over.
    template <class Mutex, class Clock, class Duration>
    std::cv_status wait_until(std::unique_lock<Mutex> &lock,
                              const std::chrono::time_point<Clock, Duration> &deadline)
    {
        const auto now = Clock::now();
        if (wait_ns(lock, now < deadline ? detail::timeout_ns(deadline - now) : 0) ==
            std::cv_status::no_timeout) {
            return std::cv_status::no_timeout;
        }
        return Clock::now() < deadline ? std::cv_status::no_timeout : std::cv_status::timeout;
    }

    template <class Mutex, class Clock, class Duration, class Predicate>
    bool wait_until(std::unique_lock<Mutex> &lock,
                    const std::chrono::time_point<Clock, Duration> &deadline, Predicate predicate)
    {
        while (!predicate()) {
            if (wait_until(lock, deadline) == std::cv_status::timeout) {
                return predicate();
            }
        }
        return true;
    }

    using native_handle_type = lw_cond_t *;

    native_handle_type native_handle() noexcept
    {
        return &cond_;
    }

  private:
    template <class Mutex>
    std::cv_status wait_ns(std::unique_lock<Mutex> &lock, std::int64_t timeout_ns)
    {
        detail::relock relock(*lock.mutex());
        const lw_status status = detail::cond_wait(&cond_, *lock.mutex(), timeout_ns);
        relock.returned = true;
        return status == LW_OK ? std::cv_status::no_timeout : std::cv_status::timeout;
    }

    lw_cond_t cond_ = LW_COND_INIT;
};

// ---- critical.h ----

namespace detail {

inline lw_mutex_t *c_mutex(mutex &m) noexcept
{
    return m.native_handle();
}

inline lw_mutex_t *c_mutex(lw_mutex_t &m) noexcept
{
    return &m;
}

} // namespace detail

// A section on N mutexes, from the construction to the end of the block: how it is left does not
// matter. Mutexes are latchwork::mutex or lw_mutex_t, in any order, and one may come twice.
//
//   latchwork::critical_section section(from.mutex, to.mutex);
//
// While the thread sleeps in anything of this library, it does not have them. The end may block.
template <std::size_t N = 0>
class [[nodiscard]] critical_section {
  public:
    template <class... Mutex>
    explicit critical_section(Mutex &...mutexes) : set_{detail::c_mutex(mutexes)...}
    {
        static_assert(sizeof...(Mutex) == N, "as many as it says");
        if constexpr (N == 1) {
            lw_critical_begin(&section_, set_[0]);
        } else if constexpr (N == 2) {
            lw_critical_begin2(&section_, set_[0], set_[1]);
        } else {
            lw_critical_begin_n(&section_, set_, N);
        }
    }

    critical_section(const critical_section &) = delete;
    critical_section &operator=(const critical_section &) = delete;

    ~critical_section() noexcept(false)
    {
        lw_critical_end(&section_);
    }

  private:
    lw_critical_t section_;
    lw_mutex_t *set_[N];
};

// As many as an array has. It is sorted, loses what it has twice, and is the section's until the
// end.
template <>
class [[nodiscard]] critical_section<0> {
  public:
    critical_section(lw_mutex_t **mutexes, std::size_t count)
    {
        lw_critical_begin_n(&section_, mutexes, count);
    }

    critical_section(const critical_section &) = delete;
    critical_section &operator=(const critical_section &) = delete;

    ~critical_section() noexcept(false)
    {
        lw_critical_end(&section_);
    }

  private:
    lw_critical_t section_;
};

template <class... Mutex>
critical_section(Mutex &...) -> critical_section<sizeof...(Mutex)>;
critical_section(lw_mutex_t **, std::size_t)->critical_section<0>;

// ---- domain.h ----

// Around something that blocks outside of the library: sections are suspended and the host is
// detached, from the construction to the end of the block, which blocks. Touch nothing of the host
// inside.
class [[nodiscard]] block_scope {
  public:
    block_scope() : token_(lw_block_begin()) {}

    block_scope(const block_scope &) = delete;
    block_scope &operator=(const block_scope &) = delete;

    ~block_scope() noexcept(false)
    {
        lw_block_end(token_);
    }

  private:
    void *token_;
};

// ---- once.h ----

// As std::once_flag, in eight bytes.
class once_flag {
  public:
    constexpr once_flag() noexcept = default;
    once_flag(const once_flag &) = delete;
    once_flag &operator=(const once_flag &) = delete;

    // Whether it is done. Wait-free; acquire when true.
    [[nodiscard]] bool done() const noexcept
    {
        return lw_once_done(&once_);
    }

    using native_handle_type = lw_once_t *;

    native_handle_type native_handle() noexcept
    {
        return &once_;
    }

  private:
    lw_once_t once_ = LW_ONCE_INIT;
};

namespace detail {

// A run that ends without a commit, by an exception or with its thread, has failed.
class once_run {
  public:
    explicit once_run(lw_once_t *once) noexcept : once_(once) {}

    once_run(const once_run &) = delete;
    once_run &operator=(const once_run &) = delete;

    ~once_run()
    {
        if (once_ != nullptr) {
            lw_once_abort(once_);
        }
    }

    void commit() noexcept
    {
        lw_once_commit(std::exchange(once_, nullptr));
    }

  private:
    lw_once_t *once_;
};

} // namespace detail

// As std::call_once: what f(args...) returns does not matter, and an exception of it goes on to the
// caller and leaves the flag not done, for the next call to try.
//   LW_OK    done, here or elsewhere (acquire)
//   LW_BUSY  f, called by this function on this thread for this flag, has called it again: nothing
//            was called, and what the flag is for is not there yet
// A status and no exception: f may be code that has been compiled without, and the caller can tell
// what to do about a recursion of its own. [[nodiscard]], since to go on is to use what is
// half-made.
template <class F, class... Args>
[[nodiscard]] lw_status call_once(once_flag &flag, F &&f, Args &&...args)
{
    const lw_status status = lw_once_begin(flag.native_handle());
    if (status != LW_OK) {
        return status == LW_EXISTS ? LW_OK : status;
    }
    detail::once_run run(flag.native_handle());
    (void)std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
    run.commit();
    return LW_OK;
}

// ---- event.h ----

// As Python's threading.Event, in four bytes; not set at first. It may be destroyed as soon as a
// wait has returned, if no other calls are to come.
class event {
  public:
    constexpr event() noexcept = default;
    event(const event &) = delete;
    event &operator=(const event &) = delete;

    void set() noexcept
    {
        lw_event_set(&event_);
    }

    void reset() noexcept
    {
        lw_event_reset(&event_);
    }

    [[nodiscard]] bool is_set() const noexcept
    {
        return lw_event_is_set(&event_);
    }

    void wait()
    {
        lw_event_wait(&event_);
    }

    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return lw_event_wait_for(&event_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool wait_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::wait_until(deadline, [this](std::int64_t timeout_ns) {
            return lw_event_wait_for(&event_, timeout_ns) == LW_OK;
        });
    }

    using native_handle_type = lw_event_t *;

    native_handle_type native_handle() noexcept
    {
        return &event_;
    }

  private:
    lw_event_t event_ = LW_EVENT_INIT;
};

// ---- latch.h ----

namespace detail {

// What the C functions want of a number: `bad` for those that no count can be.
constexpr std::uint32_t count(std::ptrdiff_t n, std::uint32_t max, std::uint32_t bad) noexcept
{
    return n < 0 || static_cast<std::uintmax_t>(n) > max ? bad : static_cast<std::uint32_t>(n);
}

} // namespace detail

// As std::latch, in four bytes. Counts that are negative or too large end the process with a
// message.
class latch {
  public:
    constexpr explicit latch(std::ptrdiff_t expected)
        : latch_ LW_LATCH_INIT(detail::count(expected, LW_LATCH_MAX, 0))
    {
        if (expected < 0 || expected > max()) {
            lw_latch_init_large_();
        }
    }

    latch(const latch &) = delete;
    latch &operator=(const latch &) = delete;

    static constexpr std::ptrdiff_t max() noexcept
    {
        return LW_LATCH_MAX;
    }

    void count_down(std::ptrdiff_t n = 1)
    {
        lw_latch_count_down(&latch_, detail::count(n, LW_LATCH_MAX, UINT32_MAX));
    }

    [[nodiscard]] bool try_wait() const noexcept
    {
        return lw_latch_try_wait(&latch_);
    }

    void wait() const
    {
        lw_latch_wait(&latch_);
    }

    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period> &timeout) const
    {
        return lw_latch_wait_for(&latch_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool wait_until(const std::chrono::time_point<Clock, Duration> &deadline) const
    {
        return detail::wait_until(deadline, [this](std::int64_t timeout_ns) {
            return lw_latch_wait_for(&latch_, timeout_ns) == LW_OK;
        });
    }

    // In one step: between the two nobody can open and destroy the latch.
    void arrive_and_wait(std::ptrdiff_t n = 1)
    {
        if (n == 0) {
            wait();
            return;
        }
        if (n != 1) {
            count_down(n < 0 ? n : n - 1); // which leaves one, so that it stays
        }
        lw_latch_arrive_and_wait(&latch_);
    }

    using native_handle_type = lw_latch_t *;

    native_handle_type native_handle() noexcept
    {
        return &latch_;
    }

  private:
    mutable lw_latch_t latch_; // a wait leaves its mark
};

// ---- sem.h ----

// As std::counting_semaphore, in four bytes. A count that is negative or too large ends the process
// with a message.
class counting_semaphore {
  public:
    constexpr explicit counting_semaphore(std::ptrdiff_t desired)
        : sem_ LW_SEM_INIT(detail::count(desired, LW_SEM_MAX, 0))
    {
        if (desired < 0 || desired > max()) {
            lw_sem_init_large_();
        }
    }

    counting_semaphore(const counting_semaphore &) = delete;
    counting_semaphore &operator=(const counting_semaphore &) = delete;

    static constexpr std::ptrdiff_t max() noexcept
    {
        return LW_SEM_MAX;
    }

    // False: n is negative, or the value would be more than max(); nothing was changed.
    bool release(std::ptrdiff_t n = 1) noexcept
    {
        return lw_sem_release(&sem_, detail::count(n, LW_SEM_MAX, UINT32_MAX)) == LW_OK;
    }

    void acquire()
    {
        lw_sem_acquire(&sem_);
    }

    bool try_acquire() noexcept
    {
        return lw_sem_try_acquire(&sem_);
    }

    template <class Rep, class Period>
    bool try_acquire_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return lw_sem_acquire_for(&sem_, detail::timeout_ns(timeout)) == LW_OK;
    }

    template <class Clock, class Duration>
    bool try_acquire_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::wait_until(deadline, [this](std::int64_t timeout_ns) {
            return lw_sem_acquire_for(&sem_, timeout_ns) == LW_OK;
        });
    }

    using native_handle_type = lw_sem_t *;

    native_handle_type native_handle() noexcept
    {
        return &sem_;
    }

  private:
    lw_sem_t sem_;
};

// ---- barrier.h ----

// As Python's threading.Barrier, in sixteen bytes; its results are those of lw_barrier_wait_then,
// which also takes an action. A number of parties that is not positive, or that no uint32_t holds,
// ends the process with a message in the first wait.
class barrier {
  public:
    constexpr explicit barrier(std::ptrdiff_t parties) noexcept
        : barrier_ LW_BARRIER_INIT(detail::count(parties, UINT32_MAX, 0))
    {
    }

    barrier(const barrier &) = delete;
    barrier &operator=(const barrier &) = delete;

    // LW_OK or LW_BROKEN. *index, after LW_OK: another number for each thread of the round, 0 to
    // parties - 1, in the order of their arrival.
    [[nodiscard]] lw_status arrive_and_wait(std::uint32_t *index = nullptr)
    {
        return lw_barrier_wait(&barrier_, index);
    }

    // The same, or LW_TIMEOUT, which breaks the barrier for all.
    template <class Rep, class Period>
    [[nodiscard]] lw_status arrive_and_wait_for(const std::chrono::duration<Rep, Period> &timeout,
                                                std::uint32_t *index = nullptr)
    {
        return lw_barrier_wait_for(&barrier_, detail::timeout_ns(timeout), index);
    }

    // By the clock's time at the call: a time-out changes the barrier, so that there is no waiting
    // on if the clock is set meanwhile.
    template <class Clock, class Duration>
    [[nodiscard]] lw_status
    arrive_and_wait_until(const std::chrono::time_point<Clock, Duration> &deadline,
                          std::uint32_t *index = nullptr)
    {
        const auto now = Clock::now();
        return lw_barrier_wait_for(&barrier_,
                                   now < deadline ? detail::timeout_ns(deadline - now) : 0, index);
    }

    void abort() noexcept
    {
        lw_barrier_abort(&barrier_);
    }

    void reset() noexcept
    {
        lw_barrier_reset(&barrier_);
    }

    [[nodiscard]] bool broken() const noexcept
    {
        return lw_barrier_is_broken(&barrier_);
    }

    using native_handle_type = lw_barrier_t *;

    native_handle_type native_handle() noexcept
    {
        return &barrier_;
    }

  private:
    lw_barrier_t barrier_;
};

// ---- smr.h ----

// A section, from the construction to the end of the block. Do not wait inside of it.
class [[nodiscard]] smr_section {
  public:
    smr_section() noexcept
    {
        lw_smr_enter();
    }

    ~smr_section()
    {
        lw_smr_exit();
    }

    smr_section(const smr_section &) = delete;
    smr_section &operator=(const smr_section &) = delete;
};

// ---- ref.h ----

template <class T>
class ref;

// The base of a class that is counted: struct node : latchwork::ref_counted<node> { ... };
// The count begins at 1, biased to the thread that constructs: that one reference is make_ref's, or
// whoever calls ref::adopt. The last reference deletes the T, on the thread that ref.h says.
template <class T>
class ref_counted {
  public:
    ref_counted(const ref_counted &) = delete;
    ref_counted &operator=(const ref_counted &) = delete;

    // For the C functions.
    lw_ref_t *native_handle() noexcept
    {
        return &ref_;
    }

  protected:
    ref_counted() noexcept
    {
        lw_ref_init(&ref_);
    }

    ~ref_counted() = default;

  private:
    friend class ref<T>;

    // The destroy function for lw_ref_dec. Its one member is where an object of this class begins.
    static void destroy(lw_ref_t *ref)
    {
        static_assert(std::is_standard_layout<ref_counted>::value, "for the cast");
        delete static_cast<T *>(reinterpret_cast<ref_counted *>(ref));
    }

    lw_ref_t ref_;
};

// A pointer that holds a reference, or NULL. As with std::shared_ptr, threads may share the object
// that it points to, and not the pointer: give each thread its own, or keep it under a lock.
template <class T>
class ref {
  public:
    using element_type = T;

    constexpr ref() noexcept = default;
    constexpr ref(std::nullptr_t) noexcept {}

    ref(const ref &other) noexcept : object_(other.object_)
    {
        if (object_ != nullptr) {
            lw_ref_inc(handle());
        }
    }

    ref(ref &&other) noexcept : object_(other.release()) {}

    ref &operator=(ref other) noexcept
    {
        swap(other);
        return *this;
    }

    // May run `delete` on what else was handed over to this thread (lw_ref_dec).
    ~ref()
    {
        if (object_ != nullptr) {
            lw_ref_dec(handle(), ref_counted<T>::destroy);
        }
    }

    // Takes over a reference that the caller has.
    [[nodiscard]] static ref adopt(T *object) noexcept
    {
        ref result;
        result.object_ = object;
        return result;
    }

    // Adds a reference; somebody keeps one during the call.
    [[nodiscard]] static ref share(T *object) noexcept
    {
        if (object != nullptr) {
            lw_ref_inc(static_cast<ref_counted<T> *>(object)->native_handle());
        }
        return adopt(object);
    }

    // Adds a reference if the object is alive, else NULL. The memory must stay readable during the
    // call: found in a section and freed by lw_smr_retire, or under a lock.
    [[nodiscard]] static ref try_share(T *object) noexcept
    {
        if (object == nullptr ||
            !lw_ref_try_inc(static_cast<ref_counted<T> *>(object)->native_handle())) {
            return ref();
        }
        return adopt(object);
    }

    // Gives the reference to the caller, and is NULL.
    [[nodiscard]] T *release() noexcept
    {
        return std::exchange(object_, nullptr);
    }

    void reset() noexcept
    {
        ref().swap(*this);
    }

    void swap(ref &other) noexcept
    {
        std::swap(object_, other.object_);
    }

    T *get() const noexcept
    {
        return object_;
    }

    T &operator*() const noexcept
    {
        return *object_;
    }

    T *operator->() const noexcept
    {
        return object_;
    }

    explicit operator bool() const noexcept
    {
        return object_ != nullptr;
    }

    friend bool operator==(const ref &a, const ref &b) noexcept
    {
        return a.object_ == b.object_;
    }

    friend bool operator!=(const ref &a, const ref &b) noexcept
    {
        return a.object_ != b.object_;
    }

    friend void swap(ref &a, ref &b) noexcept
    {
        a.swap(b);
    }

  private:
    lw_ref_t *handle() const noexcept
    {
        return static_cast<ref_counted<T> *>(object_)->native_handle();
    }

    T *object_ = nullptr;
};

template <class T, class... Args>
[[nodiscard]] ref<T> make_ref(Args &&...args)
{
    return ref<T>::adopt(new T(std::forward<Args>(args)...));
}

} // namespace latchwork

#endif // LATCHWORK_LATCHWORK_HPP
