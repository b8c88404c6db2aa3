/* SPDX-License-Identifier: BSD-2-Clause */
#include "map_keys.h"

map_key_set map_keys;

static void shuffle(uint64_t *first, size_t n)
{
    uint64_t random = 1;
    size_t i;
    for (i = n - 1; i > 0; i--) {
        size_t j;
        uint64_t swapped;
        random = map_mix(random);
        j = (size_t)(random % (i + 1));
        swapped = first[i];
        first[i] = first[j];
        first[j] = swapped;
    }
}

void map_keys_init(void)
{
    static bool done;
    size_t i;
    if (done)
        return;
    done = true;
    for (i = 0; i < MAP_LARGE; i++)
        map_keys.shuffled[i] = map_key(i);
    shuffle(map_keys.shuffled, MAP_SMALL);
    shuffle(map_keys.shuffled + MAP_SMALL, MAP_LARGE - MAP_SMALL);
}
