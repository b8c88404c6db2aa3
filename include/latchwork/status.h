/* SPDX-License-Identifier: BSD-2-Clause */
/* The one result type of the library. Functions that cannot fail return void or a value. */
#ifndef LATCHWORK_STATUS_H
#define LATCHWORK_STATUS_H

#include <latchwork/config.h>

LW_EXTERN_C_BEGIN

typedef enum lw_status {
    LW_OK = 0,
    LW_TIMEOUT,     /* the time limit passed first; nothing was changed */
    LW_INTERRUPTED, /* a signal arrived first; nothing was changed */
    LW_NOMEM,       /* the allocator failed; nothing was changed */
    LW_BUSY,        /* would wait for itself, or is in use */
    LW_AGAIN,       /* the answer changed meanwhile, or is not known yet: ask again */
    LW_NOT_FOUND,   /* no such key */
    LW_EXISTS,      /* the key is there already */
    LW_MISMATCH,    /* the key holds another value than the one expected */
    LW_INVALID,     /* an argument makes no sense */
    LW_VERSION,     /* another copy in this process has another ABI version */
    LW_BROKEN,      /* a barrier was broken: not all have arrived */
} lw_status;

/* A constant English phrase for `status`; never NULL. Wait-free, any thread, any attach state. */
LW_API const char *lw_status_string(lw_status status);

LW_EXTERN_C_END

#endif /* LATCHWORK_STATUS_H */
