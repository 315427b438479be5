/* SPDX-License-Identifier: MIT */
/*
 * choice: which of its tests a program runs, where time is short. By default
 * all. ONLY_TESTS=PATTERN: those of that name; NOT_TESTS=PATTERN: all others; `*`
 * and `?` as in file names.
 */
#ifndef SLUICE_TEST_CHOICE_H
#define SLUICE_TEST_CHOICE_H

/* Before cmocka_run_group_tests. */
void choice_from_environment(void);

#endif
