/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Where a multiboot loader enters: 32 bits, flat segments, no paging, no
 * interrupts; %eax and %ebx say who loaded us and what they have for us.
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
