using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

public sealed class RaftOptionsTests
{
    public static TheoryData<string> Misuse => [.. Wrong.Keys];

    private static readonly Dictionary<string, RaftOptions> Wrong = new()
    {
        ["no heartbeats"] = RaftOptions.Default with { HeartbeatTicks = 0 },
        ["elections as often as heartbeats"] = RaftOptions.Default with { HeartbeatTicks = 10, ElectionTicksMin = 10 },
        ["an upside-down range"] = RaftOptions.Default with { ElectionTicksMin = 10, ElectionTicksMax = 9 },
        ["appends of nothing"] = RaftOptions.Default with { MaxAppendBytes = 0 },
        ["no messages in flight"] = RaftOptions.Default with { MaxInflightMessages = 0 },
        ["no bytes in flight"] = RaftOptions.Default with { MaxInflightBytes = 0 },
        ["nothing uncommitted"] = RaftOptions.Default with { MaxUncommittedBytes = 0 },
        ["nothing committed"] = RaftOptions.Default with { MaxCommittedBytesPerReady = 0 },
        ["no reads"] = RaftOptions.Default with { MaxPendingReads = 0 },
        ["no rounds"] = RaftOptions.Default with { MaxReadRounds = 0 },
        ["a lag below nothing"] = RaftOptions.Default with { MaxPromotionLag = -1 },
        ["silence before anything happened"] = RaftOptions.Default with { QuiesceAfterTicks = -1 },
        ["offers without a pause"] = RaftOptions.Default with { QuietRenewTicks = 0 },
        ["one lost offer wakes"] = RaftOptions.Default with { QuietRenewTicks = 80, QuietLimitTicks = 160 },
        ["no time for a snapshot"] = RaftOptions.Default with { SnapshotAnswerTicks = 0 },
    };

    [Theory]
    [MemberData(nameof(Misuse))]
    public void Options_that_make_no_sense_are_refused_at_the_start(string which)
        => Wrong[which].Invoking(Start).Should().Throw<ArgumentOutOfRangeException>();

    [Fact]
    public void The_least_of_everything_is_accepted()
        => new RaftOptions
        {
            HeartbeatTicks = 1,
            ElectionTicksMin = 2,
            ElectionTicksMax = 2,
            MaxAppendBytes = 1,
            MaxInflightMessages = 1,
            MaxInflightBytes = 1,
            MaxUncommittedBytes = 1,
            MaxCommittedBytesPerReady = 1,
            MaxPendingReads = 1,
            MaxReadRounds = 1,
            SnapshotAnswerTicks = 1,
            MaxPromotionLag = 0,
            QuiesceAfterTicks = 0,
            QuietRenewTicks = 3,
            QuietLimitTicks = 7,
        }.Invoking(Start).Should().NotThrow();

    private static void Start(RaftOptions options)
    {
        ReplicaId self = new(1);
        _ = new RaftNode(options, self, new MembershipConfig([self]), RaftRecoveredState.Empty, new Random(1));
    }
}
