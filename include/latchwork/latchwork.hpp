// SPDX-License-Identifier: BSD-2-Clause
// The library in C++17: thin classes over the C headers, which have the contracts (progress, memory
// order, attach states). A lock's class is the C object and nothing else, so that the C and the C++
// parts of a program may share it (native_handle), and it has the members of the standard library's
// class of that name, so that std::lock_guard and its kin take it.
//
// Nothing here throws but `new`; -fno-exceptions and -fno-rtti are fine. What may sleep is not
// noexcept all the same: a host may end the thread when it attaches again (domain.h, block hooks),
// glibc does that by unwinding, and an unwinding that meets noexcept ends the process.
//
// One section for each header. Waits with a limit come from detail::timeout_ns and
// detail::wait_until.
#ifndef LATCHWORK_LATCHWORK_HPP
#define LATCHWORK_LATCHWORK_HPP

#include <latchwork/latchwork.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
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
