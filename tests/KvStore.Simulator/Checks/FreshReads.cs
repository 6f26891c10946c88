using KvStore.Core.Identity;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Nobody reads older than what had been acknowledged or shown before the read began: in a sync keyspace by anyone, in the others by the same leader in the same term.
/// </summary>
internal sealed class FreshReads
{
    private readonly Dictionary<(Term Term, int Key), List<(long EndedUs, LogIndex Version)>> _shown = [];

    /// <summary>An operation is done.</summary>
    /// <param name="scope">The term of the leader that answered; zero to compare with all.</param>
    /// <param name="version">The version that was written or read.</param>
    public void OnDone(OrderedCall call, bool foundValue, Term scope, LogIndex version, long nowUs)
    {
        if (version == LogIndex.Zero)
        {
            return;
        }

        if (!_shown.TryGetValue((scope, call.Key), out List<(long EndedUs, LogIndex Version)>? shown))
        {
            shown = [];
            _shown.Add((scope, call.Key), shown);
        }

        LogIndex newest = shown.Count > 0 ? shown[^1].Version : LogIndex.Zero;
        if (foundValue && version < newest)
        {
            int before = shown.FindLastIndex(each => each.EndedUs < call.InvokedUs);
            if (before >= 0 && shown[before].Version > version)
            {
                throw new SimulationFailedException(
                    nameof(FreshReads), $"k{call.Key} was read at version {version.Value} after {shown[before].Version.Value} had been acknowledged or shown: {call}.");
            }
        }

        if (version > newest)
        {
            // So the list holds the newest version known at each moment.
            shown.Add((nowUs, version));
        }
    }
}
