//! What every database must do, said to `dyn Store` alone.
//!
//! `conformance!` makes one test of each function for one database: a module name, and an async
//! function that gives an empty store with what keeps it there.

mod chains;
mod claim;
mod concurrency;
mod control;
mod enqueue;
mod facts;
mod lasting;
mod leases;
mod list;
mod logins;
mod requeue;
mod sealed;
mod settle;
mod tables;

macro_rules! conformance {
    ($database:ident, $make:path, { $($area:ident: [$($test:ident),+ $(,)?]),+ $(,)? }) => {
        mod $database {
            $(mod $area {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $test() {
                        let world = crate::store::support::World::over($make().await).await;
                        crate::store::conformance::$area::$test(world).await;
                    }
                )+
            })+
        }
    };
    ($database:ident, $make:path) => {
        conformance!($database, $make, {
            enqueue: [
                stores_every_field,
                same_key_and_request_gives_the_earlier_job,
                same_key_with_another_request_is_told_apart,
                keys_belong_to_their_queue,
                a_key_outlives_the_end_of_its_job,
                a_live_natural_key_gives_the_live_job,
                a_natural_key_is_free_once_its_job_has_ended,
                a_key_that_meets_a_live_job_belongs_to_it,
                a_key_is_looked_at_before_the_natural_key,
                one_batch_with_the_same_key_twice,
                one_batch_with_the_same_natural_key_twice,
                one_batch_whose_key_meets_a_live_job,
                outcomes_stand_in_the_order_of_the_batch,
                a_refused_job_leaves_no_tags,
                nothing_enqueued_is_nothing_stored,
                a_batch_larger_than_a_transaction,
            ],
            logins: [
                logins_are_replaced_and_forgotten,
                a_certain_secret_takes_the_place_of_a_pending_one,
            ],
            claim: [
                urgent_jobs_first_then_the_oldest,
                jobs_of_one_instant_keep_their_order,
                hands_over_what_an_attempt_needs,
                each_queue_within_its_allowance,
                only_jobs_urgent_enough,
                promotes_at_the_very_millisecond,
                promotes_no_more_than_asked,
                says_when_the_next_comes_due,
                generations_grow_by_one,
                without_allowances_it_only_promotes,
                saves_the_permits_it_was_given,
            ],
            settle: [
                completes_with_all_that_belongs_to_it,
                snooze_keeps_one_row_and_no_attempt,
                an_error_stays_until_the_next,
                a_stale_generation_changes_nothing,
                another_state_changes_nothing,
                changed_arguments_change_nothing,
                the_same_arguments_settle,
                a_batch_with_stale_ones_settles_the_others,
                an_old_and_the_new_claim_in_one_batch,
                two_ends_of_one_claim_in_one_batch,
                observations_reach_the_next_attempt,
                only_what_was_answered_is_a_poll,
                a_persons_word_settles_a_dead_job,
                a_settlement_ends_intent_and_cancellation,
                an_artifact_of_the_same_name_is_replaced,
                nothing_settled_is_no_trouble,
            ],
            chains: [
                children_get_parent_root_and_salt,
                a_grandchild_keeps_the_root,
                a_child_is_stored_whole,
                a_child_with_a_live_twin_loses_only_its_natural_key,
                siblings_with_one_natural_key_are_both_stored,
                children_of_a_lost_claim_keep_no_natural_key,
                results_and_artifacts_of_a_child_open_with_the_roots_salt,
            ],
            leases: [
                extend_prolongs_only_what_is_held,
                extend_counts_for_the_reaper,
                running_tells_what_a_reaper_needs,
                an_intent_is_recorded_for_the_holder_only,
                no_intent_once_cancellation_was_asked,
                reclaimed_jobs_fence_off_their_last_holder,
            ],
            control: [
                cancel_of_a_queued_job,
                cancel_of_a_running_job_asks,
                cancel_of_ended_jobs_says_so,
                cancel_of_nothing,
                a_cancelled_job_is_never_claimed,
                reschedule_moves_only_waiting_jobs,
                replace_args_wins_once,
                replace_args_only_of_live_jobs,
                wake_kind_makes_its_jobs_due,
            ],
            requeue: [
                from_the_state_that_is_named,
                refused_once_it_was_claimed_again,
                a_future_one_waits,
                starts_afresh_and_keeps_history,
                refused_while_a_twin_lives,
                fences_off_a_running_attempt,
                of_nothing,
            ],
            list: [
                newest_first,
                by_state,
                by_kind_and_account,
                by_tag,
                by_error_code,
                by_creation,
                filters_combine,
                within_limits,
                pages_are_stable_while_jobs_arrive,
            ],
            tables: [
                queues_are_saved_whole,
                kind_gates_are_replaced_and_opened,
                gate_times_are_replaced_and_forgotten,
                credentials_are_saved_whole,
                sinks_are_saved_whole,
                what_is_learned_is_saved_whole,
                prices_are_replaced,
                buckets_are_replaced,
                old_buckets_are_dropped,
                queues_are_numbered_in_their_order,
                meta_is_replaced,
            ],
            facts: [
                ready_queues_have_a_ready_job,
                depths_count_due_later_and_running,
                counts_of_each_state,
                result_of_each_state,
                live_job_by_natural_key,
                nothing_is_found_where_nothing_is,
            ],
            sealed: [
                an_erased_chain_keeps_its_skeleton_alone,
                the_key_of_an_erased_chain_is_not_forgotten,
                erasing_again_is_no_trouble_and_leaves_others_alone,
                what_is_live_when_it_is_erased_ends,
                a_rekey_cuts_all_erased_chains,
                what_is_sealed_is_gone_through_in_pages,
                only_what_was_read_is_replaced,
                what_is_refused_is_stored_no_more,
                what_came_before_a_refusal_is_sealed_anew_after_it,
            ],
            lasting: [
                an_occurrence_is_run_once_and_moves_its_schedule,
                only_who_sees_a_schedule_as_it_is_moves_it,
                an_occurrence_whose_twin_lives_is_that_one,
                a_pruned_chain_leaves_its_tombstone_alone,
                nothing_live_or_young_is_pruned,
                a_copy_has_what_is_committed,
            ],
            concurrency: [
                names_have_one_number,
                one_key_makes_one_job,
                one_natural_key_makes_one_job,
                a_key_shared_at_once_is_the_live_jobs,
                no_job_is_given_twice,
                one_of_many_replacements_wins,
                settlements_of_one_claim_have_one_winner,
                a_closed_store_says_so,
            ],
        });
    };
}

conformance!(on_sqlite, crate::store::sqlite::empty);
