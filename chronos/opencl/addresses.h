/* addresses.h - memory that programs know by its address. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

void addresses_in_child(void);
