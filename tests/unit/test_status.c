/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/status.h>

#include "unit.h"

#include <string.h>

TEST(ok_is_zero)
{
    assert_int_equal(LW_OK, 0);
}

TEST(each_has_a_phrase_of_its_own)
{
    int a, b;
    for (a = LW_OK; a <= LW_BROKEN; a++) {
        const char *phrase = lw_status_string((lw_status)a);
        assert_non_null(phrase);
        assert_true(strlen(phrase) > 0);
        assert_ptr_equal(phrase, lw_status_string((lw_status)a));
        for (b = LW_OK; b < a; b++) {
            assert_string_not_equal(phrase, lw_status_string((lw_status)b));
        }
    }
}

TEST(unknown_values_have_a_phrase)
{
    volatile int beyond = LW_BROKEN + 1, negative = -1;
    assert_non_null(lw_status_string((lw_status)beyond));
    assert_non_null(lw_status_string((lw_status)negative));
    assert_non_null(lw_status_string((lw_status)1000000));
}
