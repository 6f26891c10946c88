using KvStore.Node.Loops;

namespace KvStore.Cluster.Tests.Loops;

/// <summary>Turns that are taken when the test says so; time stands still.</summary>
internal sealed class HeldScheduler : LoopScheduler
{
    private readonly Queue<IThreadPoolWorkItem> _turns = new();

    public override long NowMs => 1_000;

    public override ulong WallMs => 1_000_000;

    public int Waiting => _turns.Count;

    public override void Queue(IThreadPoolWorkItem work) => _turns.Enqueue(work);

    public override ITimer Every(TimeSpan period, Action tick) => throw new NotSupportedException("Nothing ticks here.");

    public void TakeTurn() => _turns.Dequeue().Execute();
}
