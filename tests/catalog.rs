//! What a catalog must do, whatever stores it.
//!
//! Goal: a second back end passes the same suite, unchanged. Method: every test takes a [`stage::Make`], which opens the
//! catalog that belongs to a directory, and opens the same one again after it was dropped.

#[cfg(feature = "scylla")]
#[path = "catalog/cluster.rs"]
mod cluster;
#[path = "catalog/deletion.rs"]
mod deletion;
#[path = "catalog/durability.rs"]
mod durability;
#[path = "catalog/files.rs"]
mod files;
#[path = "catalog/finalize.rs"]
mod finalize;
#[cfg(feature = "scylla")]
#[path = "catalog/fleet.rs"]
mod fleet;
#[path = "catalog/groups.rs"]
mod groups;
#[path = "catalog/kill.rs"]
mod kill;
#[path = "catalog/limits.rs"]
mod limits;
#[cfg(feature = "scylla")]
#[path = "catalog/lossy.rs"]
mod lossy;
#[path = "catalog/model.rs"]
mod model;
#[path = "catalog/names.rs"]
mod names;
#[path = "catalog/notifications.rs"]
mod notifications;
#[path = "catalog/paging.rs"]
mod paging;
#[path = "catalog/searching.rs"]
mod searching;
#[path = "catalog/sifting.rs"]
mod sifting;
#[path = "catalog/stage.rs"]
mod stage;
#[path = "catalog/states.rs"]
mod states;

/// One test per line and back end: `room::behaviour`.
macro_rules! suite {
    ($backend:ident, $make:path, $is_there:expr) => {
        suite! { $backend, $make, $is_there;
            names::one_of_64_racers_gets_a_sequence_name, names::one_of_64_racers_gets_a_topic_path,
            names::every_create_can_be_repeated, names::an_id_names_one_thing, names::tokens_find_what_they_prove,
            names::a_topic_outside_its_sequence_is_refused, names::nothing_is_made_inside_nothing,
            states::each_row_of_the_session_table, states::each_row_of_the_topic_table,
            states::a_refused_finalize_names_the_topic,
            files::files_come_in_pages, files::files_of_a_deleted_topic_are_told_until_they_are_purged,
            files::a_session_stands_where_its_life_is, files::open_sessions_are_listed_page_by_page,
            finalize::readers_see_all_topics_or_none, finalize::repeating_it_answers_the_same,
            finalize::an_interrupted_topic_leaves_one_notification, finalize::open_sessions_hide_their_topics,
            paging::sequences_page_at_any_size, paging::changes_between_pages_skip_and_repeat_nothing,
            paging::segments_page_at_any_size, paging::a_range_leaves_out_segments_and_nothing_else,
            searching::contents_are_final_topics_alone, searching::segments_that_cannot_match_are_left_out,
            searching::a_question_over_many_chunks_reads_few, searching::pages_end_where_metadata_is_large,
            sifting::topics_are_told_by_their_tag, sifting::zones_of_many_topics_are_those_of_each,
            sifting::sieves_leave_out_what_they_say,
            paging::the_open_tail_is_the_last_segment, paging::foreign_cursors_are_refused,
            deletion::a_deleted_session_frees_its_names_at_once,
            deletion::a_sequence_with_a_session_is_not_empty, deletion::a_deleted_sequence_takes_open_sessions_along,
            deletion::a_deleted_topic_leaves_its_neighbours, deletion::nothing_resurrects,
            deletion::tombstones_list_exactly_the_files_to_remove, deletion::a_put_that_lost_its_topic_is_told,
            deletion::a_purge_of_many_segments_takes_everything,
            limits::a_thousand_topics_in_one_session, limits::the_longest_of_everything_comes_back,
            limits::what_is_too_long_is_refused,
            notifications::targets_are_kept_apart_and_bounded, notifications::long_messages_are_cut,
            durability::everything_is_there_after_reopening, durability::a_start_interrupts_what_was_received,
            durability::a_put_goes_on_without_a_start, durability::starts_are_counted_and_the_key_stays, durability::starts_of_another_catalog_are_told,
            durability::moments_that_a_copy_lacks_are_told,
            durability::data_directories_keep_their_numbers,
            groups::a_refused_call_leaves_its_neighbours, groups::dropping_an_answer_does_not_cancel,
            model::any_history_matches_the_model,
        }
    };
    ($backend:ident, $make:path, $is_there:expr; $($room:ident :: $test:ident),* $(,)?) => {
        mod $backend {
            $(#[test] fn $test() { if $is_there { crate::$room::$test($make) } })*
        }
    };
}

suite!(embedded, crate::stage::embedded, true);
// Only a catalog of its own numbers its sequences.
suite!(numbered, crate::stage::embedded, true;
    searching::heads_tell_of_everything_once, searching::contents_of_numbers_are_those_of_names,
    searching::numbered_pages_end_where_metadata_is_large);
#[cfg(feature = "scylla")]
suite!(scylla, crate::stage::scylla, crate::cluster::is_there());
