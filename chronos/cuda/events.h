/* events.h - how far a stream was when the program recorded an event on it. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "streams.h"

/* Thread: any, all three.  Nothing is kept for a stream whose launches are not counted. */
void events_recorded(CUevent event, const struct stream_mark *mark);
/* A mark that says nothing where the event is not known. */
struct stream_mark events_mark(CUevent event);
void events_remove(CUevent event);

void events_in_child(void);
