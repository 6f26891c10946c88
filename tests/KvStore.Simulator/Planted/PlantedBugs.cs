namespace KvStore.Simulator.Planted;

/// <summary>All bugs that can be planted.</summary>
internal static class PlantedBugs
{
    private static readonly IReadOnlyList<Func<PlantedBug>> Factories =
    [
        static () => new DurableTooEarly(),
        static () => new AppendAnsweredEarly(),
        static () => new VoteBeforeDurable(),
        static () => new HardStateLate(),
        static () => new PayloadSwapped(),
        static () => new VoteForgotten(),
        static () => new TermForgotten(),
        static () => new TailForgotten(),
        static () => new TruncationForgotten(),
        static () => new TornWriteAccepted(),
        static () => new VoterWiped(),
        static () => new OpenTailForgotten(),
        static () => new PositionWithoutData(),
        static () => new DataWithoutPosition(),
        static () => new DedupNotDurable(),
        static () => new DedupFloorMoved(),
        static () => new PutLost(),
        static () => new SnapshotUnpinned(),
        static () => new SnapshotWithoutDedup(),
        static () => new SnapshotPageDropped(),
        static () => new SnapshotPositionAhead(),
        static () => new ReplayAcrossTerms(),
        static () => new RoundReused(),
        static () => new LivenessAsQuorum(),
        static () => new HeartbeatCommitUnbounded(),
        static () => new AppendUnchecked(),
        static () => new EntrySkipped(),
        static () => new TimerStops(),
        static () => new AnswerBeforeCommit(),
        static () => new RefusedAfterPropose(),
        static () => new UnknownAsFailed(),
        static () => new AnswersSwapped(),
        static () => new RetryUnderNewId(),
        static () => new LeaderReadsLocally(),
        static () => new ReadBeforeFirstCommit(),
        static () => new LostWritesUnsaved(),
        static () => new LosersUndotted(),
        static () => new EvictionAsDelete(),
        static () => new ContextRefilled(),
        static () => new MergeWithoutDedup(),
        static () => new MergeClockTooFar(),
        static () => new HandInOnce(),
        static () => new OverlayNotInView(),
        static () => new RefreshExpired(),
        static () => new IncrementCountedAgain(),
        static () => new IncrementResultForgotten(),
        static () => new TtlCutShort(),
        static () => new TtlForgotten(),
        static () => new OrderBeforeMajority(),
        static () => new RetryUnderNewEpoch(),
        static () => new ClosingForgotten(),
        static () => new RegimeLeftOut(),
        static () => new AccountedLeftOut(),
        static () => new ActorReusedInNextPeriod(),
        static () => new SessionIgnored(),
        static () => new SessionIgnoredByFollowers(),
        static () => new SessionTermIgnored(),
        static () => new ActorReused(),
        static () => new ClockBeforePage(),
        static () => new DeleteWithoutContext(),
        static () => new DeletesLeftOutOfPage(),
        static () => new ValueDroppedByFill(),
        static () => new ClockAfterObjects(),
        static () => new CopiedKeyLeftOut(),
        static () => new FullCopyPassedOver(),
        static () => new CountedWhenSent(),
        static () => new DotKeysLost(),
        static () => new DeleteWithoutTrace(),
        static () => new OpenPutLost(),
        static () => new ContextTakenForBlind(),
        static () => new ContextForgotten(),
    ];

    /// <summary>In the order of the table in docs/testing.md.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Factories.Select(make => make().Name)];

    /// <summary>A fresh one, for one run.</summary>
    /// <exception cref="ArgumentException">There is none of that name.</exception>
    public static PlantedBug Make(string name) =>
        Factories.Select(make => make()).FirstOrDefault(bug => bug.Name == name) ?? throw new ArgumentException($"There is no planted bug '{name}'.", nameof(name));
}
