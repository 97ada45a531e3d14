/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The entry for a multiboot loader: 32 bits, flat segments, no paging, no interrupts;
 * %eax holds the loader's magic number, %ebx the address of its information.
 */
	.set	MAGIC, 0x1badb002

	.section .multiboot, "a"
	.balign	4
	.long	MAGIC, 0, -MAGIC

	.text
	.globl	_start
_start:
	mov	$stack_end, %esp
	cld
	push	%ebx
	call	guest_main
1:	hlt
	jmp	1b

	.bss
	.balign	16
	.space	16384
stack_end:

	.section .note.GNU-stack, "", @progbits
