using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Applies committed entries to the view, one after another: data, changes of the regime, changes of the members. Waits where a record must come from the disk first, or where this replica can't follow the log.</summary>
internal sealed class LogApplier(
    RegimeState regimes,
    RegimeSwitch switcher,
    ShardMembership members,
    ConsensusDriver consensus,
    KvStateMachine stateMachine,
    ViewState view,
    RecordLoader loader,
    LostWriteJournal lostWrites,
    OrderedAcknowledgements acknowledgements,
    OrderedReads reads)
{
    private bool _loading;

    public void Apply()
    {
        LogIndex before = view.Applied;
        while (!_loading && consensus.ToApply.TryPeek(out Entry entry))
        {
            bool changesRegime = RegimeEntry.Is(entry);
            if (changesRegime)
            {
                if (!switcher.TryApply(entry))
                {
                    HoldBack();
                    break;
                }
            }
            else if (entry.Kind == EntryKind.Data && IsOfAnotherEpoch(entry))
            {
                acknowledgements.ForgetUnapplied(entry);
                lostWrites.OnRejected(entry);
                acknowledgements.AnswerApplied(entry, new ApplyResult(Outcome.NotDone, RefusalCode.StaleEpoch, LogIndex.Zero));
            }
            else if (entry.Kind == EntryKind.Data)
            {
                if (!stateMachine.TryApply(entry, out ApplyResult result))
                {
                    _loading = true;
                    loader.Load(RecordSpace.Data, stateMachine.MissingKeyOf(entry).Span, OnLoaded);
                    break;
                }

                acknowledgements.ForgetUnapplied(entry);
                lostWrites.OnApplied(entry);
                acknowledgements.AnswerApplied(entry, result);
            }
            else if (entry.Kind == EntryKind.Configuration)
            {
                members.Apply(entry);
            }

            consensus.ToApply.Dequeue();
            view.AdvanceApplied(entry.Index, entry.Term);
            if (changesRegime)
            {
                switcher.AfterApplied();
            }
        }

        if (view.Applied > before)
        {
            consensus.Raft.OnApplied(view.Applied);
        }
    }

    /// <summary>The view was replaced by a snapshot: what waited to be applied is in it.</summary>
    public void OnSnapshotInstalled()
    {
        consensus.ToApply.Clear();
        _loading = false;
    }

    /// <summary>Proposed before a change of regime and behind it in the log: definitely not done. A leader that knows of the change proposes none.</summary>
    private bool IsOfAnotherEpoch(in Entry entry) => !regimes.IsOrdered || WriteCommand.EpochOf(entry.Payload.Span) < regimes.Epoch;

    /// <summary>This replica can't follow the log at the next entry: it waits there for a snapshot.</summary>
    private void HoldBack()
    {
        if (switcher.IsLate)
        {
            consensus.ToApply.Clear();
            consensus.Raft.OnApplied(view.Applied);
            consensus.Raft.HoldApply();
        }
    }

    private void OnLoaded()
    {
        _loading = false;
        Apply();
        reads.ServeReady();
    }
}
