/* SPDX-License-Identifier: GPL-2.0 */
/* The only header of an environment that the core uses. */
#ifndef __TDXEMU_TYPES_H
#define __TDXEMU_TYPES_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/string.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t s32;
typedef unsigned long long u64;
typedef long long s64;
#endif

#endif
