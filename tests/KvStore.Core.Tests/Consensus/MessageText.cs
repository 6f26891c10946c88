using System.Text;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Tests.Consensus;

/// <summary>How a message is written in a script.</summary>
internal sealed class MessageText
{
    private readonly Dictionary<ulong, string> _names = [];

    public string Show(Envelope envelope)
    {
        RaftMessage m = envelope.Message;
        string round = ShowRound(m.Round);
        var text = new StringBuilder($"{m.From}->{m.To} {m.Kind} {m.Term}");
        text.Append(m.Kind switch
        {
            RaftMessageKind.Append => $" after {m.Index.Value}@{m.LogTerm.Value} commit {m.Commit} [{RaftMember.Show(m.Entries.Span)}]",
            RaftMessageKind.AppendResponse when m.Reject => $" rejects {m.Index} hint {m.Hint.Value}@{m.LogTerm.Value}",
            RaftMessageKind.AppendResponse => $" has {m.Index}",
            RaftMessageKind.PreVote or RaftMessageKind.Vote => $" last {m.Index.Value}@{m.LogTerm.Value}",
            RaftMessageKind.PreVoteResponse or RaftMessageKind.VoteResponse => m.Reject ? " no" : " yes",
            RaftMessageKind.ReadIndexResponse => m.Reject ? " refused" : $" at {m.Index} commit {m.Commit}",
            RaftMessageKind.Damaged => m.Reject ? " log void" : " log short",
            RaftMessageKind.Heartbeat => $" commit {m.Commit}{(m.Index == LogIndex.Zero ? "" : $" offers rest behind {m.Index.Value}@{m.LogTerm.Value}")}",
            RaftMessageKind.HeartbeatResponse when m.Reject => " is awake",
            RaftMessageKind.HeartbeatResponse when m.Index > LogIndex.Zero => " agrees",
            RaftMessageKind.Snapshot => $" at {envelope.Snapshot!.Index.Value}@{envelope.Snapshot.Term.Value}",
            _ => "",
        });
        return text.Append(round).ToString();
    }

    /// <summary>Numbers that replicas draw at random are named in the order in which they are seen.</summary>
    private string ShowRound(ulong round)
    {
        if (round < 1_000_000)
        {
            return round == 0 ? "" : $" round {round}";
        }

        if (!_names.TryGetValue(round, out string? name))
        {
            name = $"#{_names.Count + 1}";
            _names.Add(round, name);
        }

        return $" {name}";
    }
}
