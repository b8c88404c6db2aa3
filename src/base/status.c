/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/status.h>

const char *lw_status_string(lw_status status)
{
    switch (status) {
    case LW_OK:
        return "ok";
    case LW_TIMEOUT:
        return "timed out";
    case LW_INTERRUPTED:
        return "interrupted by a signal";
    case LW_NOMEM:
        return "out of memory";
    case LW_BUSY:
        return "busy, or would wait for itself";
    case LW_AGAIN:
        return "changed meanwhile, try again";
    case LW_NOT_FOUND:
        return "not found";
    case LW_EXISTS:
        return "exists already";
    case LW_MISMATCH:
        return "holds another value than expected";
    case LW_INVALID:
        return "invalid argument";
    case LW_VERSION:
        return "another version of latchwork is in this process";
    case LW_BROKEN:
        return "the barrier was broken";
    }
    return "unknown status";
}
