using KvStore.Simulator.Scenarios;
using Xunit;

namespace KvStore.Cluster.Tests.Simulation;

/// <summary>Faults with a number and a name in docs/testing.md, each in virtual time on a few seeds. A scenario throws, with what does not hold.</summary>
public class NamedScenarioTests
{
    private const int Seeds = 3;

    [Fact]
    public void Scenario_01_of_two_and_three_nodes_the_majority_serves_and_the_minority_acknowledges_nothing() => Play(NamedNetwork.SplitOfTwoAndThree);

    [Fact]
    public void Scenario_02_an_isolated_leader_steps_down_and_answers_no_read() => Play(NamedNetwork.LeaderIsolated);

    [Fact]
    public void Scenario_03_a_follower_that_can_not_hear_raises_no_term() => Play(NamedNetwork.DeafFollower);

    [Fact]
    public void Scenario_04_two_nodes_that_both_see_only_the_third_keep_one_leader() => Play(NamedNetwork.OneLinkCut);

    [Fact]
    public void Scenario_05_a_bridge_between_two_pairs_keeps_one_leader() => Play(NamedNetwork.Bridge);

    [Fact]
    public void Scenario_06_a_ring_of_overlapping_majorities_keeps_one_leader() => Play(NamedNetwork.Ring);

    [Theory]
    [InlineData(0.5)]
    [InlineData(1)]
    [InlineData(2)]
    public void Scenario_07_a_follower_that_comes_and_goes_raises_no_term(double pace) => Play(seed => NamedNetwork.Flapping(seed, pace));

    [Fact]
    public void Scenario_08_with_heavy_loss_and_one_way_loss_work_goes_on() => Play(NamedNetwork.HeavyLoss);

    [Fact]
    public void Scenario_09_messages_that_come_minutes_late_change_nothing() => Play(NamedNetwork.MinutesLate);

    [Fact]
    public void Scenario_09_open_messages_that_come_minutes_late_change_nothing() => Play(NamedOpen.OpenMessagesMinutesLate);

    [Fact]
    public void Scenario_14_open_a_kill_loses_nothing_that_was_acknowledged() => Play(NamedOpen.OpenKills);

    [Fact]
    public void Scenario_17_open_clocks_that_run_wrong_lose_nothing() => Play(NamedOpen.OpenClocksAtAnotherSpeed);

    [Fact]
    public void Scenario_22_open_a_power_loss_on_one_node_loses_nothing() => Play(NamedOpen.OpenPowerLossOnOne);

    [Fact]
    public void Scenario_23_open_a_power_loss_on_all_nodes_loses_nothing() => Play(NamedOpen.OpenPowerLossOnAll);

    [Fact]
    public void Scenario_24_open_a_node_that_lost_its_power_and_is_needed_loses_nothing() => Play(NamedOpen.OpenPowerLossThenNeeded);

    [Fact]
    public void Scenario_25_open_a_torn_tail_is_cut_off_and_what_it_held_is_pulled_again() => Play(NamedOpen.OpenTornTail);

    [Fact]
    public void Scenario_26_open_a_flipped_bit_in_the_log_keeps_the_node_down_and_the_others_serve() => Play(NamedOpen.OpenLogBitFlip);

    [Fact]
    public void Scenario_28_open_a_damaged_record_of_the_view_keeps_the_node_down_and_the_others_serve() => Play(NamedOpen.OpenViewDamage);

    [Fact]
    public void Scenario_29_open_on_a_full_disk_puts_are_refused_and_nothing_is_lost() => Play(NamedOpen.OpenDiskFull);

    [Fact]
    public void Scenario_30_open_a_sync_that_fails_stops_the_node_and_loses_nothing() => Play(NamedOpen.OpenSyncFails);

    [Fact]
    public void Scenario_31_open_syncs_of_two_seconds_lose_nothing() => Play(NamedOpen.OpenSlowSyncs);

    [Fact]
    public void Scenario_32_open_a_wiped_replica_mints_under_a_new_name_and_gets_everything_back() => Play(NamedOpen.OpenDiskWiped);

    [Fact]
    public void Scenario_33_open_a_replica_with_an_old_disk_mints_no_dot_twice_and_catches_up() => Play(NamedOpen.OpenOldBackup);

    [Fact]
    public void Scenario_34_open_a_missing_log_file_keeps_the_node_down_and_the_others_serve() => Play(NamedOpen.OpenLogFileMissing);

    [Fact]
    public void Scenario_53_open_a_replica_away_past_the_index_comes_back_exactly() => Play(NamedOpen.OpenLongAbsence);

    [Fact]
    public void Scenario_57_open_replicas_that_are_replaced_while_clients_work_leave_no_residue() => Play(NamedOpen.OpenReplacement);

    [Fact]
    public void Scenario_10_reordered_appends_and_snapshot_pages_leave_no_gap() => Play(NamedNetwork.Reordering);

    [Fact]
    public void Scenario_12_a_follower_behind_a_slow_link_makes_nobody_wait() => Play(NamedNetwork.SlowFollower);

    [Fact]
    public void Scenario_14_what_a_leader_acknowledged_right_before_it_was_killed_is_there() => Play(NamedProcesses.KillRightAfterTheAnswer);

    [Fact]
    public void Scenario_15_a_leader_that_stood_still_gives_no_stale_answer() => Play(NamedProcesses.PauseWithReadsInFlight);

    [Fact]
    public void Scenario_16_clocks_on_the_wall_may_jump_by_an_hour() => Play(NamedProcesses.WallClocksJump);

    [Fact]
    public void Scenario_17_clocks_at_double_and_half_speed_make_no_stale_read() => Play(NamedProcesses.ClocksAtAnotherSpeed);

    [Fact]
    public void Scenario_18_a_node_that_restarts_every_two_seconds_stops_nobody() => Play(NamedProcesses.RestartEveryTwoSeconds);

    [Fact]
    public void Scenario_19_a_rolling_restart_under_load_loses_nothing() => Play(NamedProcesses.RollingRestart);

    [Fact]
    public void Scenario_20_a_minority_that_comes_up_first_answers_no_read() => Play(NamedProcesses.MinorityFirst);

    [Fact]
    public void Scenario_21_a_crash_at_any_step_of_snapshot_seal_and_flush_is_recovered_from() => Play(NamedProcesses.CrashAtEveryStep);

    [Fact]
    public void Scenario_22_a_power_loss_on_one_node_loses_nothing() => Play(NamedDisks.PowerLossOnOne);

    [Fact]
    public void Scenario_23_a_power_loss_on_all_nodes_loses_nothing_that_was_acknowledged_in_sync() => Play(NamedDisks.PowerLossOnAll);

    [Fact]
    public void Scenario_24_a_node_that_lost_its_power_and_is_needed_for_the_quorum_loses_nothing() => Play(NamedDisks.PowerLossThenNeededForTheQuorum);

    [Fact]
    public void Scenario_25_a_torn_tail_is_cut_off_and_the_node_rejoins() => Play(NamedDisks.TornTail);

    [Fact]
    public void Scenario_26_a_flipped_bit_in_the_log_keeps_the_node_down_until_it_is_repaired() => Play(NamedDisks.BitFlipInTheLog);

    [Fact]
    public void Scenario_28_a_damaged_record_of_the_view_keeps_the_node_down_until_it_is_repaired() => Play(NamedDisks.BitFlipInTheData);

    [Fact]
    public void Scenario_29_on_a_full_disk_puts_are_refused_reads_go_on_and_room_ends_it() => Play(NamedDisks.DiskFull);

    [Fact]
    public void Scenario_30_a_sync_that_fails_once_stops_the_node() => Play(NamedDisks.SyncFailsOnce);

    [Fact]
    public void Scenario_31_a_leader_whose_syncs_take_two_seconds_makes_nobody_wait_for_long() => Play(NamedDisks.SyncsOfTwoSeconds);

    [Fact]
    public void Scenario_34_a_missing_log_file_keeps_the_node_down_until_it_is_back() => Play(NamedDisks.LogFileMissing);

    [Fact]
    public void Scenario_41_a_retry_at_a_new_leader_has_one_effect_and_the_same_answer() => Play(NamedClients.RetryAtANewLeader);

    [Fact]
    public void Scenario_41_a_retry_at_a_leader_that_knows_the_request_by_snapshot_has_one_effect() => Play(NamedClients.RetryAfterASnapshot);

    [Fact]
    public void Scenario_43_the_same_request_id_with_another_value_is_refused() => Play(NamedClients.SameIdOtherPayload);

    [Fact]
    public void Scenario_44_a_definite_failure_never_becomes_visible() => Play(NamedClients.DefiniteFailures);

    private static void Play(Action<ulong> scenario)
    {
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            scenario(seed);
        }
    }
}
