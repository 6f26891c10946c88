using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;
using KvStore.Simulator.Checks;

namespace KvStore.Simulator.Clients;

/// <summary>
/// What a client of a bank and of two lists asks for, one transaction after another: it moves money between accounts, appends to both lists, and reads all of them, by what it has seen so far.
/// </summary>
internal sealed class TransactionMix(Random random)
{
    private readonly Dictionary<Key, (string Value, ReadOnlyMemory<byte> Version)> _seen = [];

    public static Transaction ReadAll => new([], Gets(TransactionLedger.Keys), []);

    /// <param name="id">The transaction's number, which goes into what it writes.</param>
    public Transaction Next(int id) => random.Next(10) switch
    {
        < 2 => ReadAll,
        < 6 => Transfer(id),
        _ => Append(id),
    };

    /// <summary>The transaction was done: what it has read and written is known now.</summary>
    public void Learn(TransactionLedger.Entry entry)
    {
        IReadOnlyList<TransactionStep> branch = entry.Answer!.Held ? entry.Asked.Then : entry.Asked.Otherwise;
        for (int i = 0; i < branch.Count; i++)
        {
            StepAnswer came = entry.Answer.Steps[i];
            if (branch[i].Kind == OperationKind.Put)
            {
                _seen[branch[i].Key] = (Encoding.UTF8.GetString(branch[i].Value.Span), came.Version);
            }
            else if (came.Found)
            {
                _seen[branch[i].Key] = (Encoding.UTF8.GetString(came.Value.Span), came.Version);
            }
            else
            {
                _seen.Remove(branch[i].Key);
            }
        }
    }

    private static List<TransactionStep> Gets(IEnumerable<Key> keys) => [.. keys.Select(key => new TransactionStep(OperationKind.Get, key))];

    private static TransactionStep Put(Key key, string value) => new(OperationKind.Put, key, Encoding.UTF8.GetBytes(value));

    /// <summary>Where the accounts are not known to exist: opens the bank.</summary>
    private Transaction Transfer(int id)
    {
        List<Key> accounts = [.. Enumerable.Range(0, TransactionLedger.Accounts).Select(TransactionLedger.Account)];
        if (!accounts.TrueForAll(_seen.ContainsKey))
        {
            return new Transaction(
                [.. accounts.Select(key => new Comparison(ComparisonKind.Absent, key))],
                [.. accounts.Select(key => Put(key, TransactionLedger.Balance(TransactionLedger.FirstBalance, id)))],
                Gets(accounts));
        }

        Key from = accounts[random.Next(accounts.Count)];
        accounts.Remove(from);
        Key to = accounts[random.Next(accounts.Count)];
        accounts.Remove(to);
        int amount = random.Next(1, 30);
        return new Transaction(
            [Unchanged(from), Unchanged(to), new Comparison(ComparisonKind.Exists, accounts[0])],
            [
                new TransactionStep(OperationKind.Get, from),
                Put(from, TransactionLedger.Balance(TransactionLedger.AmountOf(_seen[from].Value) - amount, id)),
                Put(to, TransactionLedger.Balance(TransactionLedger.AmountOf(_seen[to].Value) + amount, id)),
                new TransactionStep(OperationKind.Get, to),
            ],
            Gets(TransactionLedger.Keys));
    }

    private Transaction Append(int id)
    {
        List<Key> lists = [.. Enumerable.Range(0, TransactionLedger.Lists).Select(TransactionLedger.List)];
        return new Transaction(
            [.. lists.Select(Unchanged)],
            [.. lists.Select(key => Put(key, TransactionLedger.Append(_seen.TryGetValue(key, out (string Value, ReadOnlyMemory<byte> Version) known) ? known.Value : null, id)))],
            Gets(lists));
    }

    /// <summary>As far as the client has seen the key.</summary>
    private Comparison Unchanged(Key key) => !_seen.TryGetValue(key, out (string Value, ReadOnlyMemory<byte> Version) known)
        ? new Comparison(ComparisonKind.Absent, key)
        : random.Next(2) == 0 ? new Comparison(ComparisonKind.VersionIs, key, known.Version) : new Comparison(ComparisonKind.ValueIs, key, Encoding.UTF8.GetBytes(known.Value));
}
