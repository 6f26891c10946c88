using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// The guarantees of one session, key by key, judged by versions alone: what it has read or written is never missing from a later read (read your writes, monotonic reads) nor from what a later write
/// supersedes (monotonic writes, writes follow reads). In ordered shards a version is an index; in open ones it is the live dots, which a later context must cover.
/// </summary>
internal sealed class SessionWatch(string session, EventTrace trace)
{
    private readonly Dictionary<int, (LogIndex Index, VersionVector Dots)> _seen = [];

    public void OnDone(NodeId by, int key, bool isWrite, in Completion answer)
    {
        (LogIndex Index, VersionVector Dots) before = _seen.GetValueOrDefault(key, (LogIndex.Zero, VersionVector.Empty));
        if (answer.Regime == Regime.Ordered)
        {
            if (answer.OrderedVersion < before.Index || (isWrite && answer.OrderedVersion == before.Index))
            {
                Fail(by, key, isWrite, $"version {answer.OrderedVersion.Value} after it had seen {before.Index.Value}");
            }

            _seen[key] = (answer.OrderedVersion, before.Dots);
            return;
        }

        ObjectVersion version = ObjectVersion.Decode(answer.Version);
        foreach (Dot dot in before.Dots.Entries)
        {
            if (!version.Context.Covers(dot))
            {
                Fail(by, key, isWrite, $"a version that has not seen {dot}, which the session had");
            }
        }

        if (isWrite && version.LiveDots.Length != 1)
        {
            Fail(by, key, isWrite, $"{version.LiveDots.Length} values after a blind write");
        }

        VersionVector dots = before.Dots;
        foreach (Dot live in version.LiveDots)
        {
            dots = dots.With(live);
        }

        _seen[key] = (before.Index, dots);
    }

    /// <summary>The session is over, honestly: its client was told.</summary>
    public void OnGivenUp(RefusalCode code)
    {
        trace.Say(() => $"{session} was told {code} and begins a new session");
        _seen.Clear();
    }

    private void Fail(NodeId by, int key, bool isWrite, string what) => throw new SimulationFailedException(
        "SessionGuarantees", $"Session {session}: a {(isWrite ? "write" : "read")} of session key {key} at {by} was answered with {what}.");
}
