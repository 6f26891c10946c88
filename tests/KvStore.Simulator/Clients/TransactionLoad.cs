using KvStore.Simulator.Checks;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Clients;

/// <summary>The clients of transactions of one run, where its settings want some, and what is demanded of them in the end.</summary>
internal sealed class TransactionLoad
{
    private const int Clients = 4;

    private readonly SimulationStage _stage;
    private readonly ClientContext _context;
    private readonly TransactionLedger _ledger;
    private readonly List<TransactionClient> _clients = [];
    private readonly SeedSource _seeds;

    /// <summary>Random sources of their own, so that the rest of the seed stays as it is.</summary>
    public TransactionLoad(SimulationStage stage, ClientContext context)
    {
        _stage = stage;
        _context = context;
        _ledger = new TransactionLedger(stage.Timeline);
        _seeds = new SeedSource(stage.Seeds.Seed ^ 0x7472_616E_7361_6374);
        for (int i = 0; stage.Settings.Transacts && i < Clients; i++)
        {
            _clients.Add(new TransactionClient(context, _ledger, _seeds.Next(), stage.Settings.OperationsPerClient));
        }
    }

    public bool HasFinished => _clients.TrueForAll(client => client.HasFinished);

    public bool IsIdle => _clients.TrueForAll(client => client.IsIdle);

    public void Begin() => _clients.ForEach(client => client.Begin());

    /// <summary>The shard is healed: everything is read once more, and all that was told must fit together.</summary>
    public void Judge()
    {
        if (_clients.Count == 0)
        {
            return;
        }

        var last = new TransactionClient(_context, _ledger, _seeds.Next(), 0);
        bool IsDoneOrAskedAgain()
        {
            if (last.IsIdle && !last.LastWasDone)
            {
                last.ReadNow();
            }

            return last.IsIdle && last.LastWasDone;
        }

        _stage.Demand("after the heal, a transaction is done", IsDoneOrAskedAgain, 15_000_000);
        _ledger.CheckEnd();
    }
}
