using KvStore.Core.Replicas.Overlays;

namespace KvStore.Core.Replicas;

/// <summary>What the parts of one replica share, from its construction to its end.</summary>
internal readonly record struct ReplicaParts(
    ShardDescriptor Descriptor,
    RegimeState Regimes,
    ReplicaPlaces Places,
    PeerReachability Peers,
    ReplicaOptions Options,
    ReplicaClock Clock,
    IReplicaStorage Storage,
    IPeerTransport Transport,
    KvStateMachine StateMachine,
    ViewState View,
    RecordLoader Loader,
    CompletionSink Completions,
    EarlyAcknowledgements Early,
    LostWriteJournal LostWrites,
    ExpiryIndex Expiries,
    ExpiryScan ExpiryScan,
    Overlay Overlay)
{
    /// <param name="position">Where the view stands.</param>
    /// <param name="output">Where answers go.</param>
    public static ReplicaParts Create(
        ShardDescriptor descriptor, ReplicaOptions options, IReplicaStorage storage, IPeerTransport transport, in ViewPosition position, ReplicaClock clock, List<Completion> output)
    {
        var regimes = new RegimeState(descriptor, storage);
        var places = new ReplicaPlaces(descriptor);
        var peers = new PeerReachability(places);
        var completions = new CompletionSink(descriptor, regimes, peers, clock, output);
        var view = new ViewState(options, storage);
        view.Reset(position);
        var loader = new RecordLoader(storage, view);
        var expiries = new ExpiryIndex(clock);
        var expiryScan = new ExpiryScan(options, expiries, loader, view);
        var stateMachine = new KvStateMachine(storage, regimes, expiries);
        view.BeforeSeal(stateMachine.WriteChangedSessions);
        var early = new EarlyAcknowledgements(descriptor.MaxLag);
        var lostWrites = new LostWriteJournal(descriptor, options, storage, clock, early);
        var overlay = new Overlay(options, clock, storage, view, stateMachine.Accounted);
        stateMachine.Merge.Merged = key =>
        {
            overlay.OnAccounted(key);
            stateMachine.NoteMerged(key);
        };
        stateMachine.Merge.Finished = overlay.OnAccounted;
        return new ReplicaParts(descriptor, regimes, places, peers, options, clock, storage, transport, stateMachine, view, loader, completions, early, lostWrites, expiries, expiryScan, overlay);
    }
}
