using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Planted;

/// <summary>Which operations have just become entries of a leader's log, for bugs that answer them there and then.</summary>
internal sealed class ProposedWrites
{
    private readonly Dictionary<(ulong Session, ulong Sequence), (NodeId Node, ulong Handle)> _submitted = [];
    private readonly List<(NodeId Node, ulong Handle, LogIndex Index)> _appended = [];
    private readonly HashSet<ulong> _answered = [];

    /// <summary>Writes without a condition: what becomes of others is not known before they are applied.</summary>
    public void OnSubmit(SimulatedNode node, in ClientOperation operation)
    {
        if (operation.Condition == WriteCondition.None && !operation.Request.IsNone)
        {
            _submitted[(operation.Request.Session, operation.Request.Sequence)] = (node.Id, operation.Handle);
        }
    }

    public IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Witness(this, node, storage);

    /// <summary>Answers what was appended in this step (unless there is no answer yet), and leaves out the answers that come later.</summary>
    public void AnswerNow(SimulatedNode node, List<Completion> completions, Func<ulong, LogIndex, Completion?> answer)
    {
        completions.RemoveAll(completion => _answered.Contains(completion.Handle));
        foreach ((NodeId by, ulong handle, LogIndex index) in _appended)
        {
            if (by == node.Id && answer(handle, index) is { } now && _answered.Add(handle))
            {
                completions.RemoveAll(completion => completion.Handle == handle);
                completions.Add(now);
            }
        }

        _appended.RemoveAll(appended => appended.Node == node.Id);
    }

    private void OnEntry(SimulatedNode node, LogIndex index, ReadOnlySpan<byte> payload)
    {
        if (node.Replica?.IsLeader == true && payload.Length >= WriteCommand.HeaderLength && !RegimeEntry.Is(payload))
        {
            RequestId request = WriteCommand.Decode(payload).Request;
            if (_submitted.Remove((request.Session, request.Sequence), out (NodeId Node, ulong Handle) write) && write.Node == node.Id)
            {
                _appended.Add((node.Id, write.Handle, index));
            }
        }
    }

    private sealed class Witness(ProposedWrites writes, SimulatedNode node, IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
        {
            if (kind == LogRecordKind.Entry)
            {
                writes.OnEntry(node, index, payload);
            }

            return Inner.Append(kind, term, index, payload, urgency);
        }
    }
}
