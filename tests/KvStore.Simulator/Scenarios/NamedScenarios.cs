using System.Reflection;

namespace KvStore.Simulator.Scenarios;

/// <summary>All named scenarios, by the name of their method, for the command line.</summary>
internal static class NamedScenarios
{
    private static readonly Type[] Places = [typeof(NamedNetwork), typeof(NamedProcesses), typeof(NamedDisks), typeof(NamedClients), typeof(NamedOpen)];

    public static readonly IReadOnlyDictionary<string, Action<ulong>> ByName = Collect();

    private static SortedDictionary<string, Action<ulong>> Collect()
    {
        var found = new SortedDictionary<string, Action<ulong>>(StringComparer.Ordinal) { ["Flapping"] = seed => NamedNetwork.Flapping(seed, 0.5 * (1 << (int)(seed % 3))) };
        foreach (MethodInfo method in Places.SelectMany(place => place.GetMethods(BindingFlags.Public | BindingFlags.Static)))
        {
            if (method.GetParameters().Length == 1)
            {
                found.Add(method.Name, method.CreateDelegate<Action<ulong>>());
            }
        }

        return found;
    }
}
