/* SPDX-License-Identifier: BSD-2-Clause */
/* Drives Relacy through the executions of a suite; the command line of a harness. */
#include "engine.hpp"

#include <fstream>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

/* Relacy's side, one for all suites of up to so many threads. */
template <int N>
struct model_test : rl::test_suite<model_test<N>, N> {
    alignas(128) char storage[16384];
    model_case *current;

    void before()
    {
        model_begin();
        memset(storage, 0, sizeof storage);
        current = model_chosen->construct(storage);
        model_act_as(0);
        current->setup();
        model_act_as(-1);
    }
    void thread(unsigned i)
    {
        if ((int)i >= model_chosen->threads) {
            return;
        }
        current->body(i);
        if (model_chosen->exits) {
            model_thread_exit();
        }
    }
    void after()
    {
        model_act_as(0);
        current->check();
        model_act_as(-1);
        current->~model_case();
        lw_rl_end();
    }
};

template <int N>
static rl::test_result_e model_explore(rl::test_params &params)
{
    typedef model_test<N> test;
    rl::ostringstream state;
    rl::test_result_e result;
    int round;
    lw_rl_threads_of<N>::install();
    /* The second time for the trace. */
    for (round = 0; round < 2; round++) {
        params.collect_history = round != 0;
        params.initial_state = state.str();
        state.str("");
        result =
            params.search_type == rl::sched_random
                ? rl::run_test<test, rl::random_scheduler<N>>(params, state, round != 0)
                : rl::run_test<test, rl::context_bound_scheduler<N>>(params, state, round != 0);
        if (result == rl::test_result_success) {
            break;
        }
    }
    return params.test_result;
}

/* The file and line of a place, its operation, and the order it is weakened to; for a fence the
 * order is "none": it is left out. */
static inline bool model_parse_mutation(char *text)
{
    static const struct {
        const char *name;
        rl::memory_order order;
    } orders[] = {{"relaxed", rl::mo_relaxed},
                  {"acquire", rl::mo_acquire},
                  {"release", rl::mo_release},
                  {"none", rl::mo_relaxed}};
    char *line = strchr(text, ':');
    char *op = line != NULL ? strchr(line + 1, ':') : NULL;
    char *order = op != NULL ? strchr(op + 1, '=') : NULL;
    if (order == NULL) {
        return false;
    }
    *line++ = *op++ = *order++ = '\0';
    for (const auto &known : orders) {
        if (strcmp(known.name, order) == 0) {
            lw_rl_mutation_.order = known.order;
            lw_rl_mutation_.file = text;
            lw_rl_mutation_.line = (unsigned)strtoul(line, NULL, 10);
            lw_rl_mutation_.op = op;
            return true;
        }
    }
    return false;
}

static void model_out_of_time(int signal)
{
    static const char text[] = "{\"result\": \"OUT OF TIME\"}\n";
    (void)signal;
    if (write(STDOUT_FILENO, text, sizeof text - 1) != 0) {
        _exit(3);
    }
}

/* Prints one JSON object. 0: every execution went through; 1: one failed; 2: misuse; 3: out of
 * time. */
int model_main(int argc, char **argv)
{
    rl::test_params params;
    std::ofstream trace("/dev/null");
    const model_entry *entry = NULL;
    rl::test_result_e result;
    struct timeval start, end;
    const char *separator = "";
    int i;
    params.search_type = rl::sched_bound;
    params.context_bound = 2;
    params.execution_depth_limit = 5000;
    for (i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--list") == 0) {
            for (entry = model_entries; entry != NULL; entry = entry->next) {
                printf("%s\n", entry->name);
            }
            return 0;
        }
        if (strcmp(argv[i], "--coverage") == 0) {
            lw_rl_coverage_.wanted = true;
            continue;
        }
        if (argv[i][0] != '-') {
            for (entry = model_entries; entry != NULL && strcmp(entry->name, argv[i]) != 0;) {
                entry = entry->next;
            }
            continue;
        }
        i++;
        if (strcmp(argv[i - 1], "--bound") == 0) {
            params.context_bound = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--random") == 0) {
            params.search_type = rl::sched_random;
            params.iteration_count = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i - 1], "--seconds") == 0) {
            signal(SIGALRM, model_out_of_time);
            alarm((unsigned)strtoul(value, NULL, 10));
        } else if (strcmp(argv[i - 1], "--trace") == 0) {
            trace.close();
            trace.open(value);
        } else if (strcmp(argv[i - 1], "--fences") == 0 && strcmp(value, "symmetric") == 0) {
            lw_rl_fences_ = LW_RL_FENCES_SYMMETRIC;
        } else if (strcmp(argv[i - 1], "--fences") == 0 && strcmp(value, "global") == 0) {
            lw_rl_fences_ = LW_RL_FENCES_GLOBAL;
        } else if (strcmp(argv[i - 1], "--fences") == 0 && strcmp(value, "real") == 0) {
            lw_rl_fences_ = LW_RL_FENCES_REAL;
        } else if (strcmp(argv[i - 1], "--weaken") != 0 || value[0] == '\0' ||
                   !model_parse_mutation(argv[i])) {
            fprintf(stderr, "%s: what is %s %s?\n", argv[0], argv[i - 1], value);
            return 2;
        }
    }
    if (entry == NULL) {
        fprintf(stderr, "%s: which suite?\n", argv[0]);
        return 2;
    }
    params.output_stream = &trace;
    params.progress_stream = &trace;
    gettimeofday(&start, NULL);
    model_chosen = entry;
    result = entry->threads < 3 ? model_explore<2>(params) : model_explore<3>(params);
    gettimeofday(&end, NULL);
    printf("{\"suite\": \"%s\", \"result\": \"%s\", \"iterations\": %llu, \"seconds\": %.3f, "
           "\"sites\": [",
           entry->name, rl::test_result_str(result), (unsigned long long)params.stop_iteration,
           (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_usec - start.tv_usec) * 1e-6);
    for (const auto &site : lw_rl_coverage_.sites) {
        if (site.file != NULL) {
            printf("%s\"%s:%u:%s\"", separator, site.base(), site.line, site.op);
            separator = ", ";
        }
    }
    printf("]}\n");
    return result == rl::test_result_success ? 0 : 1;
}

int main(int argc, char **argv)
{
    return model_main(argc, argv);
}
