using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Every write of a run has a value of its own, and one dot. A value under two dots is a request that was executed twice. Within one open period that can happen, since only the replica that took a request
/// knows it again, and only until it restarts; the log never does it, and never does a request have one effect in the open and another in the log, or effects in two periods (C6).
/// </summary>
internal sealed class OneDotPerValue
{
    private readonly Dictionary<string, (Dot Dot, LogIndex Episode)> _dots = [];
    private readonly Dictionary<Dot, LogIndex> _episodes = [];

    public void Look(SimulatedNode node, int key, ReadOnlyMemory<byte> record)
    {
        foreach (ref readonly DottedValue value in DottedObject.Decode(record).Values)
        {
            LogIndex episode = value.Dot.Actor.IsLog ? LogIndex.Zero : EpisodeOf(value.Dot, node);
            string text = TextOf(value.Value.Span);
            if (_dots.TryAdd(text, (value.Dot, episode)) || _dots[text].Dot == value.Dot)
            {
                continue;
            }

            (Dot other, LogIndex otherEpisode) = _dots[text];
            if (other.Actor.IsLog || value.Dot.Actor.IsLog || otherEpisode != episode)
            {
                throw new SimulationFailedException(
                    nameof(OneDotPerValue), $"{node.Id} holds the value {text} of key k{key} under {value.Dot} of the open period {episode}; it was seen under {other} of {otherEpisode}.");
            }
        }
    }

    /// <summary>
    /// A dot is first seen at the replica that mints it, after the step in which it did. An actor would not do: a replica that was away while the shard was ordered and opened again goes on under the one that it has.
    /// </summary>
    private LogIndex EpisodeOf(Dot dot, SimulatedNode node)
    {
        if (!_episodes.TryGetValue(dot, out LogIndex episode))
        {
            episode = node.Replica!.CurrentRegime.Episode;
            _episodes.Add(dot, episode);
        }

        return episode;
    }

    private static string TextOf(ReadOnlySpan<byte> value)
    {
        int end = value.IndexOf((byte)'.');
        return Encoding.UTF8.GetString(end < 0 ? value : value[..end]);
    }
}
