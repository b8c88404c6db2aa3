/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/event.h>

#define EVENT_NAME "latchwork"
#define EVENT_ID event_latchwork
typedef lw_event_t event_object;
#define event_begin(e) lw_event_init(e)
#define event_end(e) ((void)(e))
#define event_set(e) lw_event_set(e)
#define event_clear(e) lw_event_reset(e)
#define event_wait(e) lw_event_wait(e)

#include "event_rows.h"
