/* SPDX-License-Identifier: MIT */
/* choice: see choice.h. */
#include "choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

void choice_from_environment(void)
{
	cmocka_set_test_filter(getenv("ONLY_TESTS"));
	cmocka_set_skip_filter(getenv("NOT_TESTS"));
}
