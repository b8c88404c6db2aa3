/* SPDX-License-Identifier: BSD-2-Clause */
#include "gbench.h"

#include <benchmark/benchmark.h>

#include <mutex>
#include <string>

namespace {

thread_local benchmark::State *current_state;

/* One row's shared state, made by the first thread of a run and dropped by the last. Every thread
 * of a run is in at once (Google Benchmark starts and stops them at barriers), so that the count
 * reaches zero only at the end of the run. */
class Fixture {
  public:
    explicit Fixture(const gb_row &row) : row_(row) {}

    void *enter()
    {
        std::lock_guard<std::mutex> guard(mutex_);
        if (users_++ == 0)
            shared_ = row_.setup ? row_.setup(row_.threads) : nullptr;
        return shared_;
    }

    void leave()
    {
        std::lock_guard<std::mutex> guard(mutex_);
        if (--users_ == 0 && row_.teardown)
            row_.teardown(shared_);
    }

  private:
    const gb_row &row_;
    std::mutex mutex_;
    int users_ = 0;
    void *shared_ = nullptr;
};

class Row : public benchmark::internal::Benchmark {
  public:
    explicit Row(const gb_row &row)
        : Benchmark((std::string(row.area) + "/" + row.row + "/" + row.impl).c_str()), row_(row),
          fixture_(row_)
    {
    }

    void Run(benchmark::State &state) override
    {
        void *shared = fixture_.enter();
        void *local = row_.begin ? row_.begin(shared, state.thread_index()) : shared;
        auto batch = static_cast<benchmark::IterationCount>(row_.batch);
        while (state.KeepRunningBatch(batch)) {
            uint64_t result = row_.body(local, row_.batch);
            benchmark::DoNotOptimize(result);
        }
        current_state = &state;
        if (row_.end)
            row_.end(shared, local);
        current_state = nullptr;
        fixture_.leave();
    }

  private:
    const gb_row row_;
    Fixture fixture_;
};

} // namespace

extern "C" void gb_add(const gb_row *row)
{
    auto *made = benchmark::internal::RegisterBenchmarkInternal(new Row(*row));
    made->Threads(row->threads)->UseRealTime();
}

extern "C" void gb_counter(const char *name, double value)
{
    current_state->counters[name] += value;
}

extern "C" int gb_run(int argc, char **argv)
{
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return -1;
    size_t ran = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return static_cast<int>(ran);
}
