// SPDX-License-Identifier: GPL-2.0
#include <linux/kernel.h>
#include <asm/tdx.h>
#include "../../seamcall_internal.h"

noinstr u64 __seamcall(u64 fn, struct tdx_module_args *args)
{
	return TDX_SEAMCALL_VMFAILINVALID;
}

noinstr u64 __seamcall_ret(u64 fn, struct tdx_module_args *args)
{
	return TDX_SEAMCALL_VMFAILINVALID;
}

noinstr u64 __seamcall_saved_ret(u64 fn, struct tdx_module_args *args)
{
	return TDX_SEAMCALL_VMFAILINVALID;
}
