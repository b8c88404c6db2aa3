/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that does not need Python. */
#ifndef LATCHWORK_LATCHWORK_H
#define LATCHWORK_LATCHWORK_H

#include <latchwork/atomic.h>
#include <latchwork/biased_mutex.h>
#include <latchwork/config.h>
#include <latchwork/domain.h>
#include <latchwork/map.h>
#include <latchwork/mutex.h>
#include <latchwork/park.h>
#include <latchwork/ref.h>
#include <latchwork/smr.h>
#include <latchwork/status.h>
#include <latchwork/thread.h>

#endif /* LATCHWORK_LATCHWORK_H */
